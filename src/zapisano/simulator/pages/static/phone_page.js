// /phone: the phone alone, the whole screen on a small one.
import * as api from "./api.js";
import { readLink } from "./links.js";
import { listen } from "./live.js";
import { Phone } from "./phone.js";
import { asked, lang, switchTo, translate } from "./texts.js";

export function languageSwitch(root) {
  for (const button of root.querySelectorAll("[data-lang]")) {
    button.setAttribute("aria-pressed", String(button.dataset.lang === lang));
    button.addEventListener("click", async () => {
      await phonesSpeak(button.dataset.lang);
      switchTo(button.dataset.lang);
    });
  }
}

/** Whoever chooses a language for the page means the chats, too: bots follow the phone's. */
async function phonesSpeak(language, means = async () => true) {
  const people = (await api.people()).filter(({ language_code }) => language_code !== language);
  await Promise.all(people.map(async ({ id }) => await means(id) && api.speak(id, language)));
}

/** A language nobody asked for just now is only for those who have not begun to talk. */
const isSilent = async (person) => (await api.chats(person)).length === 0;

/** Start the phone as the address asks: ?person=, ?bot=, ?start= or ?link=. */
export async function startPhone(observe, hear = () => {}) {
  const root = document.getElementById("phone");
  const query = new URLSearchParams(location.search);
  const phone = new Phone(root, { observe });
  listen((word) => {
    phone.hear(word);
    hear(word);
  });
  await (asked ? phonesSpeak(asked) : phonesSpeak(lang, isSilent));
  await phone.begin({ person: query.get("person"), bot: query.get("bot") || root.dataset.bot });
  const link = query.get("link");
  if (link && readLink(link, location.origin)) await phone.openLink(link);
  return phone;
}

if (document.body.dataset.page === "phone") {
  translate();
  await startPhone(() => {});
}
