// The demo page: the phone, the story behind it, and one sentence on what to press next.
import * as api from "./api.js";
import { languageSwitch, startPhone } from "./phone_page.js";
import { StoryView } from "./story_view.js";
import { t, translate } from "./texts.js";

const hint = document.getElementById("hint");
const salesBot = document.getElementById("phone").dataset.bot;
let phone = null;
let story = null;

/** The one thing to press next, from what the phone shows and how far the story is. */
function nextStep() {
  const sale = phone?.bot?.username === salesBot;
  if (sale && phone.content && !phone.content.messages.length) return "hint_start";
  const happened = new Set((story?.events || []).map(({ kind }) => kind));
  if (happened.has("booking.created")) return ownersPhone() ? "hint_told" : "hint_booked";
  if (happened.has("tenant.active")) return phone?.bot && !sale && phone.bot.owner_id !== phone.person.id ? "hint_book" : "hint_active";
  if (happened.has("tenant.awaiting_bot")) return "hint_attach";
  if (happened.has("payment.settled")) return "hint_paid";
  if (happened.has("payment.canceled")) return "hint_declined";
  if (happened.has("order.created")) return "hint_order";
  return sale && phone.content?.messages.length ? "hint_plan" : "hint_start";
}

/** Is the phone its owner's, open at the bot that belongs to them? */
function ownersPhone() {
  return Boolean(phone?.bot && phone.bot.username !== salesBot && phone.bot.owner_id === phone.person.id);
}

function drawHint() {
  const key = nextStep();
  if (hint.dataset.key === key) return;
  hint.dataset.key = key;
  const text = document.createElement("p");
  text.append(...t(key).split("**").map((part, index) => {
    if (index % 2 === 0) return part;
    const strong = document.createElement("strong");
    strong.textContent = part;
    return strong;
  }));
  hint.replaceChildren(text);
  if (key === "hint_active") hint.append(handOver("hint_become", (bot, people) => people.find(({ id }) => id !== (bot?.owner_id ?? phone.person.id))));
  if (key === "hint_booked") hint.append(handOver("hint_owner", (bot, people) => people.find(({ id }) => id === bot?.owner_id)));
}

/** A button that hands the phone to the person whom `choose` names, at the bot in question. */
function handOver(words, choose) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "primary";
  button.textContent = t(words);
  button.addEventListener("click", async () => {
    const [people, bots] = await Promise.all([api.people(), api.bots()]);
    const sold = bots.filter(({ username }) => username !== salesBot);
    const bot = sold.find(({ id }) => id === phone.bot?.id) || sold.at(-1);
    const person = choose(bot, people);
    if (person) await phone.become(person, bot?.username);
    showView("phone");
  });
  return button;
}

// On a narrow screen one of the two is shown at a time.
function showView(name) {
  document.body.dataset.view = name;
  for (const button of document.querySelectorAll("[data-show]")) {
    button.setAttribute("aria-pressed", String(button.dataset.show === name));
  }
  if (name === "story") document.getElementById("news").hidden = true;
}

translate();
languageSwitch(document);
document.querySelectorAll("[data-show]").forEach((button) => button.addEventListener("click", () => showView(button.dataset.show)));
showView("phone");
drawHint();

const view = new StoryView(document.getElementById("story"), {
  observe: (told) => {
    if (told?.events.length !== story?.events.length) document.getElementById("news").hidden = document.body.dataset.view === "story" || !told;
    story = told;
    drawHint();
  },
});
phone = await startPhone((changed) => {
  phone = changed;
  drawHint();
}, (word) => view.hear(word));
