// Message html: the simulator renders it from entities; only the known tags pass, whatever it holds.
import { h } from "./dom.js";

const ALLOWED = new Set(["B", "STRONG", "I", "EM", "U", "INS", "S", "STRIKE", "DEL", "CODE", "PRE", "BLOCKQUOTE", "BR"]);
// Telegram makes addresses, @names and /commands of plain text pressable.
const PRESSABLE = /(https?:\/\/[^\s<>"]*[^\s<>".,;:!?)»\]]|(?<![\w/@.])(?:t\.me\/[\w/?=&%-]+)|(?<![\w/@])@[A-Za-z]\w{3,31}|(?<![\w/@<])\/[a-z][a-z0-9_]{0,31}(?![\w/]))/giu;

/** Safe nodes of a message's html. Links carry data-link, commands data-command. */
export function rich(html) {
  const source = new DOMParser().parseFromString(html, "text/html").body;
  const target = document.createDocumentFragment();
  copy(source, target, true);
  return target;
}

function copy(from, to, pressable) {
  for (const node of from.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) to.append(...(pressable ? split(node.data) : [node.data]));
    else if (node.nodeType === Node.ELEMENT_NODE) to.append(element(node, pressable));
  }
}

function element(node, pressable) {
  const made = shell(node);
  copy(node, made, pressable && !["A", "CODE", "PRE"].includes(node.tagName));
  return made;
}

function shell(node) {
  const tag = node.tagName;
  if (tag === "A") return link(node.getAttribute("href") || "");
  if (tag === "TG-SPOILER" || node.classList.contains("tg-spoiler")) {
    return h("span", { class: "spoiler", role: "button", tabindex: "0", data: { spoiler: "" } });
  }
  if (tag === "TG-TIME" || tag === "TIME") {
    const moment = new Date(node.getAttribute("datetime") || Number(node.getAttribute("unix")) * 1000);
    const when = moment.getTime() ? moment.toLocaleString(document.documentElement.lang, { dateStyle: "long", timeStyle: "short", hourCycle: "h23" }) : "";
    return h("span", { class: "when", title: when || node.getAttribute("title") });
  }
  return ALLOWED.has(tag) ? h(tag.toLowerCase()) : document.createDocumentFragment();
}

function link(address, ...children) {
  const safe = /^(https?|tg):/i.test(address);
  if (!safe) return h("span", {}, ...children);
  return h("a", { href: address, rel: "noopener", data: { link: address } }, ...children);
}

function split(text) {
  return text.split(PRESSABLE).map((part, index) => {
    if (index % 2 === 0) return part;
    if (part.startsWith("/")) return h("a", { href: "#", data: { command: part } }, part);
    if (part.startsWith("@")) return link(`https://t.me/${part.slice(1)}`, part);
    return link(part.startsWith("t.me") ? `https://${part}` : part, part);
  });
}
