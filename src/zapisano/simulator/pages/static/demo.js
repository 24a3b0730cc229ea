// The demo page: the phone, the story behind it, and one sentence on what to press next.
import * as api from "./api.js";
import { nextStep, runningBot, speaksOther } from "./hints.js";
import { languageSwitch, startPhone } from "./phone_page.js";
import { StoryView } from "./story_view.js";
import { lang, t, translate } from "./texts.js";

const hint = document.getElementById("hint");
const { bot: salesBot, botName: salesName } = document.getElementById("phone").dataset;
let phone = null;
let story = null;

// Beside some sentences, the button that does what they say.
const BUTTONS = {
  hint_active: () => handOver("hint_become", (bot, people) => people.find(({ id }) => id !== (bot?.owner_id ?? phone.person.id))),
  hint_booked: () => handOver("hint_owner", (bot, people) => people.find(({ id }) => id === bot?.owner_id)),
  hint_visit: () => button("hint_open", () => phone.openUsername(String(runningBot(view.events)))),
  hint_told_there: () => button("hint_open", () => phone.openUsername(salesBot)),
};

function drawHint() {
  const key = phone ? nextStep(phone, view.events, salesBot) : "hint_start";
  if (!key) return;
  const aside = phone && speaksOther(phone, lang) ? (phone.bot.username === salesBot ? "tongue_sales" : "tongue_other") : null;
  const signature = [key, aside, phone?.person?.id].join();
  if (hint.dataset.signature === signature) return;
  hint.dataset.signature = signature;
  const text = document.createElement("p");
  text.append(...t(key, { chat: salesName }).split("**").map((part, index) => {
    if (index % 2 === 0) return part;
    const strong = document.createElement("strong");
    strong.textContent = part;
    return strong;
  }));
  if (aside) {
    const why = document.createElement("small");
    why.textContent = t(aside, { name: phone.person.first_name });
    text.append(why);
  }
  hint.replaceChildren(text, ...(key in BUTTONS ? [BUTTONS[key]()] : []));
}

function button(words, press) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "primary";
  element.textContent = t(words);
  element.addEventListener("click", press);
  return element;
}

/** A button that hands the phone to the person whom `choose` names, at the bot in question. */
function handOver(words, choose) {
  return button(words, async () => {
    const [people, bots] = await Promise.all([api.people(), api.bots()]);
    const sold = bots.filter(({ username }) => username !== salesBot);
    const bot = sold.find(({ id }) => id === phone.bot?.id) || sold.at(-1);
    const person = choose(bot, people);
    if (person) await phone.become(person, bot?.username);
    showView("phone");
  });
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
