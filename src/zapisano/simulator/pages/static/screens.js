// The phone's other screens: chats, finding a bot, BotFather, and the browser inside the phone.
import { createBot } from "./api.js";
import { avatar, clock, h, icon, iconButton } from "./dom.js";
import { form } from "./dialogs.js";
import { t } from "./texts.js";

function bar(title, back, ...more) {
  return h("header", { class: "bar" }, back && iconButton("back", t("back"), back), h("h2", { tabindex: "-1" }, title), ...more);
}

function row({ id, name, title, about, right, press }) {
  return h("li", {}, h("button", { type: "button", class: "list-row", on: { click: press } }, avatar(id, name),
    h("span", { class: "two-lines" }, h("strong", {}, title), h("span", { class: "about" }, about)), right && h("span", { class: "right" }, right)));
}

/** The list of chats, newest first. `unread(entry)` is how many messages are new. */
export function chatList({ chats, unread, open, find }) {
  const rows = chats.map((entry) => {
    const { bot, last } = entry;
    const count = unread(entry);
    return row({
      id: bot.id, name: bot.name, title: bot.name, about: last?.text || `@${bot.username}`, press: () => open(bot),
      right: [last && h("time", {}, clock(last.date)), count > 0 && h("span", { class: "badge", "aria-label": t("unread", { n: count }) }, String(count))],
    });
  });
  const list = rows.length ? h("ul", { class: "list" }, rows) : h("p", { class: "nothing" }, t("no_chats"));
  const search = h("button", { type: "button", class: "find", on: { click: find } }, icon("search"), t("find"));
  return h("section", { class: "screen" }, bar(t("chats"), null, iconButton("search", t("find"), find)), h("div", { class: "scroller" }, list), h("div", { class: "foot" }, search));
}

/** Every bot of this world, filtered as one types, with BotFather on top. */
export function finder({ bots, open, father, back }) {
  const list = h("ul", { class: "list", "aria-live": "polite" });
  const input = h("input", { type: "search", "aria-label": t("find_label"), placeholder: t("find_label"), autocomplete: "off" });
  const draw = () => {
    const words = input.value.trim().toLowerCase().replace(/^@/, "");
    const fits = (bot) => `${bot.name} ${bot.username}`.toLowerCase().includes(words);
    const found = bots.filter(fits).map((bot) => row({ id: bot.id, name: bot.name, title: bot.name, about: `@${bot.username}`, press: () => open(bot) }));
    const first = fits({ name: t("father"), username: "botfather" })
      ? [row({ id: 93372553, name: "B", title: t("father"), about: t("father_about"), press: father })] : [];
    list.replaceChildren(...first, ...found);
    if (!list.childElementCount) list.append(h("li", { class: "nothing" }, t("no_bots")));
  };
  input.addEventListener("input", draw);
  draw();
  return h("section", { class: "screen" }, bar(t("find"), back), h("div", { class: "search" }, icon("search"), input), h("div", { class: "scroller" }, list));
}

/** BotFather: a bot of one's own and its token, to paste where it is asked for. */
export function botFather({ person, open, back, told }) {
  const body = h("div", { class: "scroller padded" });
  const done = ({ token, username }) => {
    const key = h("code", { class: "token", tabindex: "0" }, token);
    const copy = async () => {
      try {
        await navigator.clipboard.writeText(token);
        told(t("copied"));
      } catch {
        // No permission: the token is selected, ready for the keyboard's own "copy".
        getSelection().selectAllChildren(key);
      }
    };
    body.replaceChildren(h("p", {}, t("father_done", { name: username })), key, h("p", { class: "field-rule" }, t("father_keep")),
      h("div", { class: "actions stacked" }, h("button", { type: "button", class: "primary", on: { click: copy } }, t("copy")),
        h("button", { type: "button", class: "plain", on: { click: () => open(username) } }, t("open_chat"))));
    key.focus();
  };
  body.append(form({
    text: t("father_text"), fields: botFields({}), agree: t("create"), blame: "username",
    send: ({ name, username }) => createBot(person, name, username), done,
  }));
  return h("section", { class: "screen" }, bar(t("father"), back), body);
}

/** The two fields of every "new bot" form. */
export function botFields({ name = "", username = "" }) {
  return [
    { name: "name", label: t("bot_name"), value: name, maxlength: "64", required: true },
    { name: "username", label: t("bot_username"), value: username, rule: t("username_rule"), maxlength: "32", spellcheck: "false", autocapitalize: "none" },
  ];
}

/** Does this page of ours lead nowhere but back to the site that sent us here? */
function leadsBack(seen, origin) {
  const away = [...seen.links].map((link) => link.origin).filter((one) => one !== seen.location.origin);
  return away.length > 0 && away.every((one) => one === origin);
}

/**
 * What the address bar may honestly say: {text, safe: came it over https?}. A page of our own origin
 * tells its name; of another's nothing can be seen. Its host is known of the page that was `asked`
 * for (`isAsked`), and of one to which a page of ours has sent back.
 */
function whereabouts(frame, asked, isAsked) {
  const seen = frame.contentDocument;
  if (seen && seen.URL !== "about:blank") return { text: seen.title || seen.location.host, safe: seen.location.protocol === "https:" };
  return isAsked ? { text: asked.host, safe: asked.protocol === "https:" } : { text: t("some_page"), safe: false };
}

/** A web page inside the phone, with its address and a way out into a tab of its own. */
export function webPage({ url, framed, close }) {
  const asked = new URL(url);
  const out = h("a", { class: "icon-button", href: url, target: "_blank", rel: "noopener", "aria-label": t("new_tab"), title: t("new_tab") }, icon("out"));
  const address = h("p", { class: "address", role: "group", "aria-label": t("address") });
  const frame = framed
    ? h("iframe", { src: url, title: asked.host, allow: "clipboard-write; payment" })
    : h("div", { class: "scroller padded centred" }, h("p", {}, t("no_frame")), h("a", { class: "primary", href: url, target: "_blank", rel: "noopener" }, t("new_tab")));
  let isAsked = true;
  const draw = () => {
    const { text, safe } = whereabouts(frame, asked, isAsked);
    address.replaceChildren(...(safe ? [icon("lock")] : []), h("span", {}, text));
  };
  frame.addEventListener("load", () => {
    draw();
    // What is loaded next may be any page, unless ours shows one way out only.
    isAsked = Boolean(frame.contentDocument) && leadsBack(frame.contentDocument, asked.origin);
  });
  draw();
  const again = () => {
    isAsked = true;
    frame.src = url;
  };
  return h("section", { class: "screen web" }, h("header", { class: "bar" }, iconButton("close", t("close_page"), close), address, framed && iconButton("reload", t("reload"), again), out), frame);
}
