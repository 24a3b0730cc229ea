// /phone: the phone alone, the whole screen on a small one.
import { Phone } from "./phone.js";
import { readLink } from "./links.js";
import { lang, switchTo, translate } from "./texts.js";

export function languageSwitch(root) {
  for (const button of root.querySelectorAll("[data-lang]")) {
    button.setAttribute("aria-pressed", String(button.dataset.lang === lang));
    button.addEventListener("click", () => switchTo(button.dataset.lang));
  }
}

/** Start the phone as the address asks: ?person=, ?bot=, ?start= or ?link=. */
export async function startPhone(observe) {
  const root = document.getElementById("phone");
  const query = new URLSearchParams(location.search);
  const phone = new Phone(root, { observe });
  await phone.begin({ person: query.get("person"), bot: query.get("bot") || root.dataset.bot });
  const link = query.get("link");
  if (link && readLink(link, location.origin)) await phone.openLink(link);
  return phone;
}

if (document.body.dataset.page === "phone") {
  translate();
  await startPhone(() => {});
}
