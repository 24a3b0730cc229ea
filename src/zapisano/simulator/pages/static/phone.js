// The phone: whose it is, which screen is open, and what a press does.
import * as api from "./api.js";
import { ChatView } from "./chat.js";
import { avatar, clock, h, icon } from "./dom.js";
import { Dialogs } from "./dialogs.js";
import { isHere, readLink } from "./links.js";
import { botFather, botFields, chatList, finder, webPage } from "./screens.js";
import { lang, t } from "./texts.js";

const TOAST_MS = 3500;

/** One phone in `root`. `observe(phone)` is called whenever its person, chat or content changes. */
export class Phone {
  constructor(root, { observe = () => {} } = {}) {
    this.observe = observe;
    this.time = h("time", { class: "status-time" });
    this.who = h("button", { type: "button", class: "who", "aria-haspopup": "dialog", on: { click: () => this.choosePerson() } });
    this.away = h("p", { class: "away", role: "status" });
    this.view = h("div", { class: "view" });
    this.toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    root.replaceChildren(h("div", { class: "status" }, this.time, this.who), this.away, this.view, this.toasts);
    this.dialogs = new Dialogs(root);
    this.tick();
    setInterval(() => this.tick(), 10_000);
    addEventListener("message", (event) => this.called(event));
  }

  tick() {
    this.time.textContent = clock(Date.now() / 1000);
  }

  /** Open at a person and a bot: ids, or the bot's username; otherwise at the list of chats. */
  async begin({ person, bot }) {
    this.everybody = await api.people();
    const chosen = this.everybody.find(({ id }) => String(id) === String(person)) || this.everybody[0];
    await this.become(chosen, bot);
  }

  /**
   * Be another person; with `bot` their chat with it opens. The other's sheet and screen are gone
   * at once: nothing begun by one person can be finished by the next.
   */
  async become(person, bot) {
    this.dialogs.close(null);
    this.view.replaceChildren();
    this.chat = this.bot = this.screenName = this.met = null;
    this.person = person;
    this.who.replaceChildren(avatar(person.id, person.first_name), h("span", {}, person.first_name), icon("down"));
    this.who.setAttribute("aria-label", t("you_are", { name: person.first_name }));
    const chats = await api.chats(person.id);
    if (person !== this.person) return;
    this.meet(chats);
    if (bot) await this.openUsername(String(bot));
    else await this.openList();
  }

  /** The bots that this person has a chat with, by id. */
  meet(chats) {
    this.met = new Set(chats.map(({ bot }) => bot.id));
  }

  /** News from the streams that concern phones. */
  hear({ news, up, person, bot }) {
    if (news === "phones") this.linked(up);
    else if (news === "chat" && person === this.person?.id) this.changed(bot);
  }

  /** Streams that have just been opened, or joined, say nothing of what was before. */
  async linked(up) {
    this.away.textContent = up ? "" : t("offline");
    if (!up || !this.person) return;
    try {
      await this.changed(this.bot?.id);
    } catch (error) {
      if (error.status !== 404) throw error;
      await this.begin({ person: this.person.id }); // of this chat a world begun anew knows nothing
    }
  }

  changed(bot) {
    if (this.chat && bot === this.bot?.id) return this.refresh();
    if (this.screenName === "list") return this.openList();
    this.chat?.newsElsewhere();
    return this.observe(this);
  }

  show(name, element) {
    // A list drawn anew leaves the sheet above it alone; any other screen is the end of a sheet.
    if (name !== "list" || this.screenName !== "list") this.dialogs.close(null);
    this.screenName = name;
    if (name !== "chat" && name !== "web") this.chat = this.bot = null;
    this.view.replaceChildren(element);
    this.toasts.replaceChildren();
    const url = new URL(location.href);
    url.searchParams.set("person", this.person.id);
    if (this.bot) url.searchParams.set("bot", this.bot.username);
    else url.searchParams.delete("bot");
    url.searchParams.delete("start");
    history.replaceState(null, "", url);
    this.observe(this);
  }

  async openList() {
    const { person, screenName } = this;
    const chats = await api.chats(person.id);
    if (person !== this.person || screenName !== this.screenName) return; // somebody went elsewhere
    this.meet(chats);
    const shown = JSON.stringify([person.id, chats]);
    if (this.screenName === "list" && this.shownList === shown) return; // focus stays where it is
    this.shownList = shown;
    this.show("list", chatList({ chats, unread: (entry) => this.unread(entry), open: (bot) => this.openChat(bot), find: () => this.openFinder() }));
  }

  async openFinder() {
    const bots = await api.bots();
    this.show("find", finder({ bots, open: (bot) => this.openChat(bot), father: () => this.openFather(), back: () => this.openList() }));
    this.view.querySelector("input").focus();
  }

  openFather() {
    this.show("father", botFather({ person: this.person.id, open: (username) => this.openUsername(username), back: () => this.openFinder(), told: (text) => this.toast(text) }));
    this.view.querySelector("input").focus();
  }

  async openUsername(username, payload = "") {
    const wanted = username.toLowerCase().replace(/^@/, "");
    if (wanted === "botfather") return this.openFather();
    const { person } = this;
    const bot = (await api.bots()).find((one) => one.username.toLowerCase() === wanted || String(one.id) === wanted);
    if (person !== this.person) return undefined;
    if (bot) return this.openChat(bot, payload);
    if (!this.view.childElementCount) await this.openList();
    return this.toast(t("bot_gone", { name: username }));
  }

  async openChat(bot, payload = "") {
    this.bot = bot;
    this.content = null;
    this.chat = new ChatView({
      back: () => this.openList(),
      start: () => this.deed("/start", () => api.start(this.person.id, bot.id, "")),
      say: (text) => this.deed(text, () => api.say(this.person.id, bot.id, text)),
      press: (message, data) => this.press(bot, message, data),
      link: (address) => this.openLink(address),
      webApp: (address) => this.openWebApp(bot, address),
      pay: (invoice) => this.pay(bot, invoice),
      reply: (key) => this.reply(bot, key),
      menu: () => this.menu(),
    });
    this.show("chat", this.chat.element);
    await this.refresh();
    if (payload && this.bot === bot) await this.deed(`/start ${payload}`, () => api.start(this.person.id, bot.id, payload));
  }

  /** Fetch the open chat; while one fetch is under way, one more is enough for all that follow. */
  async refresh() {
    if (this.fetching) {
      this.again = true;
      return this.fetching;
    }
    this.fetching = this.fetchChat();
    try {
      await this.fetching;
    } finally {
      this.fetching = null;
    }
    return undefined;
  }

  async fetchChat() {
    do {
      this.again = false;
      const { person, bot, chat: view } = this;
      if (!view) return;
      const chat = await api.chat(person.id, bot.id);
      if (this.chat !== view || this.person !== person) {
        this.again = Boolean(this.chat);
        continue;
      }
      view.update(chat);
      this.content = chat;
      if (chat.started || chat.messages.length) this.met?.add(bot.id);
      this.remember(person, bot, chat.messages.at(-1)?.message_id || 0);
      this.observe(this);
    } while (this.again);
  }

  /** Show the words at once, then do it; a failure stays visible with a way to try again. */
  async deed(text, run) {
    const { settle, fail } = this.chat.expect(text, () => this.deed(text, run));
    try {
      await run();
      await this.refresh();
      settle();
    } catch (error) {
      fail();
      this.toast(t("error", { why: error.message }));
    }
  }

  async press(bot, message, data) {
    const { person } = this;
    try {
      const answer = await api.press(person.id, bot.id, message, data);
      if (person !== this.person) return; // the phone was handed on meanwhile
      if (answer.url) await this.openLink(answer.url);
      else if (answer.text && answer.show_alert) await this.dialogs.alert(bot.name, answer.text);
      else if (answer.text) this.toast(answer.text);
    } catch (error) {
      this.toast(t("error", { why: error.message }));
    }
  }

  /** A Mini App gets an address signed for this person. */
  async openWebApp(bot, address) {
    try {
      await this.openPage((await api.webApp(this.person.id, bot.id, address)).url);
    } catch (error) {
      this.toast(t("error", { why: error.message }));
    }
  }

  async pay(bot, invoice) {
    try {
      const { ok, error_message: why } = await api.pay(this.person.id, bot.id, invoice);
      if (!ok) this.toast(t("error", { why: why || t("silent") }));
    } catch (error) {
      this.toast(t("error", { why: error.message }));
    }
  }

  async reply(bot, key) {
    if (key.web_app) return this.openWebApp(bot, key.web_app.url);
    if (key.request_contact) return this.shareContact(bot);
    if (key.request_managed_bot) {
      const { request_id, suggested_name, suggested_username } = key.request_managed_bot;
      return this.newBot(bot, { request_id, name: suggested_name || "", username: suggested_username || "" });
    }
    return this.deed(key.text, () => api.say(this.person.id, bot.id, key.text));
  }

  async shareContact(bot) {
    const { id: person, phone } = this.person;
    const text = t("share_text", { bot: bot.name, phone: phone ? `+${String(phone).replace(/^\+/, "")}` : "" });
    if (!(await this.dialogs.confirm(t("share_title"), text, t("share")))) return;
    try {
      await api.shareContact(person, bot.id);
    } catch (error) {
      this.toast(t("error", { why: error.message }));
    }
  }

  async newBot(manager, { request_id, name, username }) {
    const { id: person } = this.person;
    const made = await this.dialogs.form(t("create_title"), {
      text: t("create_text", { bot: manager.name }), fields: botFields({ name, username }), agree: t("create"), blame: "username",
      send: (values) => api.createManagedBot(person, manager.id, request_id === undefined ? values : { request_id, ...values }),
    });
    if (made) this.toast(`${t("bot_created")}: @${made.username}`);
  }

  async menu() {
    const { bot, menu_button: button } = this.content;
    const page = button?.web_app?.url;
    if (page) return this.openWebApp(bot, page);
    const chosen = await this.dialogs.show(t("commands"), (close) => h("ul", { class: "list commands" }, bot.commands.map(({ command, description }, index) =>
      h("li", {}, h("button", { type: "button", class: "list-row", "data-first": index === 0, on: { click: () => close(`/${command}`) } }, h("strong", {}, `/${command}`), h("span", { class: "about" }, description))))));
    return chosen && this.deed(chosen, () => api.say(this.person.id, bot.id, chosen));
  }

  /** Follow a link the way a phone does: chats and dialogs inside, pages in its browser. */
  async openLink(address) {
    const link = readLink(address, location.origin);
    if (!link) return;
    if (link.kind === "chat") await this.openUsername(link.username, link.payload);
    else if (link.kind === "newbot") await this.openNewBot(link);
    else if (link.kind === "invoice" && this.bot) await this.pay(this.bot, { slug: link.slug });
    else if (link.kind === "web") await this.openPage(link.url);
  }

  async openNewBot(link) {
    const manager = (await api.bots()).find(({ username }) => username.toLowerCase() === link.manager.toLowerCase());
    if (manager) await this.newBot(manager, link);
    else this.toast(t("bot_gone", { name: link.manager }));
  }

  async openPage(url) {
    const { bot, person } = this;
    const framed = await api.mayBeFramed(url);
    if (person !== this.person) return;
    const close = () => (bot ? this.openChat(bot) : this.openList());
    this.chat = null;
    this.show("web", webPage({ url, framed, close }));
    this.view.querySelector("a, button").focus();
  }

  /** A page of ours inside the frame asks to open a chat (see link.html). */
  called(event) {
    if (typeof event.data?.open !== "string" || !isHere(event.origin, location.origin)) return;
    this.openLink(event.data.open);
  }

  async choosePerson() {
    this.everybody = await api.people();
    const chosen = await this.dialogs.show(t("choose_person"), (close) => [
      h("p", {}, t("choose_person_about")),
      h("ul", { class: "list" }, this.everybody.map((person) => h("li", {}, h("button", {
        type: "button", class: "list-row", "data-first": person.id === this.person.id, "aria-current": person.id === this.person.id ? "true" : null, on: { click: () => close(person) },
      }, avatar(person.id, person.first_name), h("strong", {}, person.first_name), person.id === this.person.id && icon("check"))))),
      h("button", { type: "button", class: "plain wide", on: { click: () => close("add") } }, icon("plus"), t("add_person")),
    ]);
    if (chosen === "add") return this.addPerson();
    return chosen && chosen.id !== this.person.id ? this.become(chosen, this.bot?.username) : undefined;
  }

  async addPerson() {
    const person = await this.dialogs.form(t("add_person"), {
      fields: [
        { name: "first_name", label: t("first_name"), maxlength: "64" },
        { name: "language", label: t("person_language"), options: [["ru", "Русский"], ["en", "English"]], value: lang },
      ],
      agree: t("add"), blame: "first_name", send: ({ first_name, language }) => api.addPerson(first_name, language),
    });
    if (person) await this.become(person, this.bot?.username);
  }

  toast(text) {
    const element = h("p", { class: "toast" }, text);
    this.toasts.append(element);
    setTimeout(() => element.remove(), TOAST_MS);
  }

  unread({ bot, last }) {
    const seen = this.seen()[`${this.person.id}:${bot.id}`] || 0;
    return last?.from_bot ? Math.max(0, last.message_id - seen) : 0;
  }

  remember(person, bot, id) {
    this.kept = { ...this.seen(), [`${person.id}:${bot.id}`]: id };
    try {
      localStorage.setItem("zapisano.seen", JSON.stringify(this.kept));
    } catch {
      // Storage may be refused; `kept` then lasts as long as the page.
    }
  }

  seen() {
    try {
      return this.kept || JSON.parse(localStorage.getItem("zapisano.seen") || "{}");
    } catch {
      return {};
    }
  }
}
