// Dialogs inside the phone's screen: one at a time, Esc closes, focus returns to where it was.
import { h } from "./dom.js";
import { t } from "./texts.js";

let number = 0;

/** Overlay of one phone: everything under it is inert while a dialog is open. */
export class Dialogs {
  constructor(screen) {
    this.screen = screen;
    this.open = null;
  }

  /** Show content as a dialog; resolves when it is closed (`close(value)`, Esc gives null). */
  show(title, build) {
    this.close(null);
    const before = document.activeElement;
    return new Promise((resolve) => {
      const id = `dialog-${(number += 1)}`;
      const heading = h("h2", { id, tabindex: "-1" }, title);
      const box = h("div", { class: "sheet", role: "dialog", "aria-modal": "true", "aria-labelledby": id }, heading);
      const veil = h("div", { class: "veil", on: { keydown: (event) => this.key(event), mousedown: (event) => event.target === veil && this.close(null) } }, box);
      const mine = { veil, resolve, before };
      this.open = mine;
      // What was sent from here may be answered when another dialog is open.
      box.append(...[build((value) => this.open === mine && this.close(value))].flat().filter(Boolean));
      for (const child of this.screen.children) child.inert = true;
      this.screen.append(veil);
      (box.querySelector("[data-first]") || heading).focus();
    });
  }

  key(event) {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    this.close(null);
  }

  close(value) {
    if (!this.open) return;
    const { veil, resolve, before } = this.open;
    this.open = null;
    veil.remove();
    for (const child of this.screen.children) child.inert = false;
    if (before?.isConnected) before.focus();
    resolve(value);
  }

  /** One sentence and one button. */
  alert(title, text) {
    return this.show(title, (close) => [h("p", {}, text), actions(button(t("ok"), () => close(true), true))]);
  }

  /** A question; resolves to true when agreed. */
  async confirm(title, text, agree) {
    const answer = await this.show(title, (close) => [
      h("p", {}, text),
      actions(button(t("cancel"), () => close(null)), button(agree, () => close(true), true)),
    ]);
    return answer === true;
  }

  /**
   * A form; `send(values)` may throw with a sentence, shown under the field `blame`, and the
   * dialog stays open. Resolves to what `send` gave, or null.
   */
  form(title, { text, fields, agree, blame, send }) {
    return this.show(title, (close) => form({ text, fields, agree, blame, send, done: close, cancel: () => close(null) }));
  }
}

/** A form with labels, rules and errors tied to their fields; used by dialogs and screens. */
export function form({ text, fields, agree, blame, send, done, cancel }) {
  const rows = fields.map(field);
  const submit = h("button", { type: "submit", class: "primary" }, agree);
  const element = h("form", { class: "form", novalidate: true }, text && h("p", {}, text), rows.map((row) => row.element),
    actions(cancel && button(t("cancel"), cancel), submit));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    rows.forEach((row) => row.blame(""));
    submit.disabled = true;
    try {
      done(await send(Object.fromEntries(rows.map((row) => [row.name, row.input.value.trim()]))));
    } catch (error) {
      const row = rows.find(({ name }) => name === blame);
      row.blame(error.message);
      row.input.focus();
    } finally {
      submit.disabled = false;
    }
  });
  return element;
}

function field({ name, label, value = "", rule = "", options = null, ...attributes }, index) {
  const id = `field-${(number += 1)}`;
  const common = { id, name, "aria-describedby": `${id}-rule ${id}-error`, "data-first": index === 0, ...attributes };
  const input = options
    ? h("select", common, options.map(([key, text]) => h("option", { value: key }, text)))
    : h("input", { type: "text", autocomplete: "off", ...common });
  if (value) input.value = value;
  const error = h("p", { id: `${id}-error`, class: "field-error", role: "alert" });
  const element = h("div", { class: "field" }, h("label", { for: id }, label), input, rule && h("p", { id: `${id}-rule`, class: "field-rule" }, rule), error);
  const blame = (sentence) => {
    error.textContent = sentence;
    input.setAttribute("aria-invalid", sentence ? "true" : "false");
  };
  return { name, element, input, blame };
}

function button(text, press, primary = false) {
  return h("button", { type: "button", class: primary ? "primary" : "plain", "data-first": primary, on: { click: press } }, text);
}

function actions(...buttons) {
  return h("div", { class: "actions" }, buttons);
}
