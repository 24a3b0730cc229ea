// Small tools for building the page: elements, icons, times.

/** Make an element. `on` holds listeners, `data` data attributes; null children are left out. */
export function h(tag, { on = {}, data = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(data)) element.dataset[name] = value;
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A decorative icon of static/icons.svg. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** A button that shows only an icon and says its name to a screen reader. */
export function iconButton(name, label, press, more = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, on: { click: press }, ...more }, icon(name));
}

/** A square with the first letter; the hue is the id's own, the same everywhere. */
export function avatar(id, name) {
  const element = h("span", { class: "avatar", "aria-hidden": "true" }, [...(name || "?")][0].toUpperCase());
  element.style.setProperty("--hue", String((Number(id) * 47 + 210) % 360));
  return element;
}

/** HH:MM of a unix time in seconds. */
export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}
