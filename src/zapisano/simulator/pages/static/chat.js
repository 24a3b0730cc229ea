// One conversation: messages kept in step with the simulator by id, keyboards, composer.
import { avatar, clock, h, icon, iconButton } from "./dom.js";
import { rich } from "./rich.js";
import { t } from "./texts.js";

const NEAR_END_PX = 80;
// A button must have a text; bots that want an empty place in a row write one that shows nothing.
const BLANK = /^[\s\u2800\u200b]*$/;

/** The chat screen. `act` are the phone's deeds: say, start, press, link, reply, back. */
export class ChatView {
  constructor(act) {
    this.act = act;
    this.shown = new Map(); // message id → {signature, element}
    this.pending = [];
    this.keysOpen = true;
    this.build();
  }

  build() {
    this.title = h("div", { class: "chat-name" });
    this.back = iconButton("back", t("back"), () => this.act.back());
    this.header = h("header", { class: "bar" }, this.back, this.title);
    this.intro = h("div", { class: "intro" });
    this.log = h("ol", { class: "log", role: "log", "aria-live": "polite", "aria-label": t("messages") });
    this.scroller = h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": t("messages") }, this.intro, this.log);
    this.jump = iconButton("down", t("to_end"), () => this.toEnd(true), { class: "icon-button jump", hidden: true });
    this.scroller.addEventListener("scroll", () => { if (this.nearEnd()) this.jump.hidden = true; });
    this.log.addEventListener("click", (event) => this.pressed(event));
    this.log.addEventListener("keydown", (event) => { if (event.key === "Enter") this.reveal(event.target); });
    this.keys = h("div", { class: "keys", role: "group", "aria-label": t("keyboard") });
    this.foot = h("footer", { class: "foot" });
    this.element = h("section", { class: "screen chat" }, this.header, h("div", { class: "middle" }, this.scroller, this.jump), this.foot);
    this.buildComposer();
  }

  buildComposer() {
    this.input = h("textarea", { rows: "1", "aria-label": t("write"), placeholder: t("write"), maxlength: "4096", enterkeyhint: "send" });
    this.input.addEventListener("input", () => this.grow());
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    this.menu = iconButton("menu", t("commands"), () => this.act.menu());
    this.toggle = iconButton("keys", t("keyboard"), () => this.showKeys(!this.keysOpen));
    this.composer = h("form", { class: "composer", on: { submit: (event) => { event.preventDefault(); this.submit(); } } },
      this.menu, this.input, this.toggle, h("button", { type: "submit", class: "icon-button send", "aria-label": t("send"), title: t("send") }, icon("send")));
    this.begin = h("button", { type: "button", class: "primary begin", on: { click: () => this.act.start() } }, t("begin"));
  }

  grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 120)}px`;
  }

  submit() {
    const text = this.input.value.trim();
    if (!text) return;
    this.input.value = "";
    this.grow();
    this.act.say(text);
  }

  /** Draw what the simulator says now; a chat seen for the first time goes to its end. */
  update(chat) {
    const first = !this.chat;
    const follow = first || this.nearEnd();
    this.chat = chat;
    this.drawHeader(chat.bot);
    this.drawIntro(chat);
    this.log.setAttribute("aria-busy", String(first));
    const grown = this.drawMessages(chat.messages);
    this.drawFoot(chat);
    if (follow) this.toEnd(false);
    else if (grown) this.jump.hidden = false;
    this.log.setAttribute("aria-busy", "false");
  }

  /** Another chat has news: the way back to the list says so. */
  newsElsewhere() {
    this.back.classList.add("news");
    this.back.setAttribute("aria-label", t("back_news"));
  }

  drawHeader(bot) {
    this.title.replaceChildren(avatar(bot.id, bot.name), h("div", { class: "two-lines" }, h("h2", {}, bot.name),
      h("p", {}, `@${bot.username} · ${t(bot.restricted ? "restricted" : "bot")}`)));
  }

  drawIntro({ bot, messages }) {
    this.intro.hidden = messages.length > 0;
    this.intro.replaceChildren(avatar(bot.id, bot.name), h("h3", {}, t("what_can")), h("p", {}, bot.description || t("empty_chat")));
  }

  drawMessages(messages) {
    const alive = new Set(messages.map((message) => message.message_id));
    for (const [id, { element }] of this.shown) {
      if (!alive.has(id)) { element.remove(); this.shown.delete(id); }
    }
    let previous = null;
    let grown = false;
    for (const message of messages) {
      const stitched = previous !== null && previous.from_bot === message.from_bot && message.date - previous.date < 300;
      const newDay = !previous || day(previous) !== day(message);
      grown = this.drawMessage(message, { stitched, newDay }) || grown;
      previous = message;
    }
    this.pending.forEach(({ element }) => this.log.append(element));
    return grown;
  }

  drawMessage(message, place) {
    const signature = JSON.stringify([message, place]);
    const known = this.shown.get(message.message_id);
    if (known?.signature === signature) return false;
    const element = bubble(message, place);
    if (known) {
      const focused = known.element.contains(document.activeElement) && document.activeElement.dataset.button;
      known.element.replaceWith(element);
      if (focused) element.querySelector(`[data-button="${CSS.escape(focused)}"]`)?.focus();
    } else this.log.append(element);
    this.shown.set(message.message_id, { signature, element });
    if (!known && !message.from_bot) this.pending.find(({ text }) => text === message.text)?.settle();
    return !known;
  }

  drawFoot(chat) {
    const started = chat.started || chat.messages.length > 0;
    const rows = chat.keyboard?.rows || [];
    const signature = JSON.stringify([started, chat.keyboard, chat.menu_button, chat.bot.commands]);
    if (signature === this.footSignature) return;
    if (JSON.stringify(chat.keyboard) !== this.keysSignature) this.keysOpen = true;
    this.footSignature = signature;
    this.keysSignature = JSON.stringify(chat.keyboard);
    this.menu.hidden = !chat.bot.commands?.length && !chat.menu_button?.web_app;
    this.toggle.hidden = rows.length === 0;
    this.input.placeholder = chat.keyboard?.placeholder || t("write");
    this.keys.replaceChildren(...rows.map((row) => h("div", { class: "row" }, row.map((key) => this.replyButton(key, chat.keyboard)))));
    const parts = started ? [this.composer, this.keys] : [this.begin];
    // Whoever is typing while the buttons change goes on typing.
    if (this.foot.firstElementChild !== parts[0]) this.foot.replaceChildren(...parts);
    this.showKeys(this.keysOpen);
  }

  replyButton(key, keyboard) {
    const special = key.request_contact || key.request_managed_bot;
    const press = () => {
      if (keyboard.one_time) this.showKeys(false);
      this.act.reply(key);
    };
    // A label that begins with a picture of its own needs no second one.
    const own = /^\p{Extended_Pictographic}/u.test(key.text);
    const mark = own ? null : key.request_contact ? icon("person") : key.request_managed_bot ? icon("bot") : null;
    return h("button", { type: "button", class: special ? "key special" : "key", on: { click: press } }, mark, h("span", {}, key.text));
  }

  showKeys(open) {
    const follow = this.nearEnd();
    this.keysOpen = open;
    this.keys.hidden = !open || this.keys.childElementCount === 0;
    this.toggle.setAttribute("aria-expanded", String(open));
    if (follow) this.toEnd(false);
  }

  /** A bubble shown before the simulator has it; `settle()` removes it, `fail()` offers a retry. */
  expect(text, again) {
    const mark = h("span", { class: "mark", role: "img", "aria-label": t("sending") }, icon("wait"));
    const element = h("li", { class: "message mine pending" }, h("div", { class: "bubble" }, h("div", { class: "text" }, text), h("div", { class: "meta" }, mark)));
    const settle = () => {
      this.pending = this.pending.filter((other) => other.element !== element);
      element.remove();
    };
    this.pending.push({ text, element, settle });
    this.intro.hidden = true;
    this.log.append(element);
    this.toEnd(true);
    const fail = () => {
      const retry = h("button", { type: "button", class: "retry", on: { click: () => { settle(); again(); } } }, t("retry"));
      mark.replaceChildren(icon("failed"));
      mark.setAttribute("aria-label", t("failed"));
      element.classList.add("failed");
      element.querySelector(".meta").prepend(retry);
    };
    return { settle, fail };
  }

  pressed(event) {
    const target = event.target.closest("[data-link], [data-command], [data-button], [data-spoiler], [data-pay]");
    if (!target) return;
    if (target.dataset.spoiler !== undefined) return void this.reveal(target);
    event.preventDefault();
    if (target.dataset.link) this.act.link(target.dataset.link);
    else if (target.dataset.command) this.act.say(target.dataset.command);
    else if (target.dataset.pay) this.act.pay({ message_id: Number(target.dataset.pay) });
    else this.pressInline(target);
  }

  async pressInline(button) {
    const message = this.chat.messages.find(({ message_id }) => message_id === Number(button.dataset.message));
    const [row, column] = button.dataset.button.split(":").slice(1).map(Number);
    const key = message.inline_keyboard[row][column];
    if (key.url) return void this.act.link(key.url);
    if (key.web_app) return void this.act.webApp(key.web_app.url);
    button.setAttribute("aria-busy", "true");
    await this.act.press(message.message_id, key.callback_data);
    button.removeAttribute("aria-busy");
  }

  reveal(target) {
    if (target.dataset?.spoiler !== undefined) target.classList.toggle("revealed");
  }

  nearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  toEnd(smooth) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: smooth && !calm ? "smooth" : "instant" });
    this.jump.hidden = true;
  }
}

const day = (message) => new Date(message.date * 1000).toDateString();

function dayName(message) {
  if (day(message) === new Date().toDateString()) return t("today");
  return new Date(message.date * 1000).toLocaleDateString(document.documentElement.lang, { day: "numeric", month: "long" });
}

// Notices of Telegram itself that come without words.
const SERVICES = { managed_bot_created: "bot_created", successful_payment: "paid", refunded_payment: "paid" };

function bubble(message, { stitched, newDay }) {
  const kind = message.from_bot ? "theirs" : "mine";
  const date = newDay && h("p", { class: "day" }, h("span", {}, dayName(message)));
  if (message.service) return h("li", { class: "message service" }, date, h("p", {}, SERVICES[message.service] && icon("check"), message.text || t(SERVICES[message.service] || "notice")));
  const meta = h("div", { class: "meta" }, message.edited && h("span", {}, t("edited")), h("time", {}, clock(message.date)),
    !message.from_bot && h("span", { class: "mark", role: "img", "aria-label": t("sent") }, icon("check")));
  return h("li", { class: `message ${kind}${stitched && !newDay ? " stitched" : ""}`, data: { message: message.message_id } }, date,
    h("div", { class: "bubble" }, h("span", { class: "sr" }, message.from_bot ? "" : `${t("you")}: `), media(message), message.invoice && invoice(message), (message.html || message.text) && h("div", { class: "text" }, rich(message.html ?? message.text)), meta),
    inlineKeyboard(message));
}

function media({ photo, document: file, contact }) {
  return [
    photo && h("img", { src: photo, alt: t("photo"), class: "photo" }),
    file && h("a", { class: "file", href: file.url, download: file.name, "aria-label": t("download", { name: file.name }) }, icon("file"), h("span", {}, file.name)),
    contact && h("div", { class: "contact" }, avatar(contact.user_id ?? 0, contact.first_name), h("div", { class: "two-lines" }, h("strong", {}, contact.first_name), h("p", {}, contact.phone_number))),
  ];
}

function invoice({ invoice: { title, description, currency, total_amount }, message_id }) {
  const sum = currency === "XTR" ? `${total_amount} ★` : (total_amount / 100).toLocaleString(document.documentElement.lang, { style: "currency", currency });
  return h("div", { class: "invoice" }, h("strong", {}, title), h("p", {}, description),
    h("button", { type: "button", class: "primary", data: { pay: message_id } }, t("pay", { sum })));
}

function inlineKeyboard({ message_id, inline_keyboard }) {
  if (!inline_keyboard?.length) return null;
  return h("div", { class: "inline" }, inline_keyboard.map((row, r) => h("div", { class: "row" }, row.map((key, c) =>
    h("button", { type: "button", ...(BLANK.test(key.text) ? { class: "key blank", tabindex: "-1", "aria-hidden": "true" } : { class: "key" }), data: { button: `${message_id}:${r}:${c}`, message: message_id } }, h("span", {}, key.text), (key.url || key.web_app) && icon("out"))))));
}
