// The people's side of the simulated Telegram, as JSON over HTTP.
import { t } from "./texts.js";

/** An answer other than 2xx: its status, and a sentence in the page's language if the simulator named the trouble. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(`/telegram${path}`, options);
  const text = await response.text();
  if (!response.ok) throw new Refusal(response.status, sentence(text) || `HTTP ${response.status}`);
  return text ? JSON.parse(text) : null;
}

function sentence(text) {
  try {
    const { code, error, detail } = JSON.parse(text);
    if (code) return t(`refused_${code}`);
    return [error, detail].find((value) => typeof value === "string");
  } catch {
    return "";
  }
}

const chatPath = (person, bot) => `/people/${person}/chats/${bot}`;

export const people = () => call("GET", "/people");
export const addPerson = (first_name, language_code) => call("POST", "/people", { first_name, language_code });
export const speak = (person, language_code) => call("POST", `/people/${person}/language`, { language_code });
export const bots = () => call("GET", "/bots");
export const chats = (person) => call("GET", `/people/${person}/chats`);
export const chat = (person, bot) => call("GET", chatPath(person, bot));
export const start = (person, bot, payload) => call("POST", `${chatPath(person, bot)}/start`, payload ? { payload } : {});
export const say = (person, bot, text) => call("POST", `${chatPath(person, bot)}/messages`, { text });
export const shareContact = (person, bot) => call("POST", `${chatPath(person, bot)}/contact`, {});
export const press = (person, bot, message_id, data) => call("POST", `${chatPath(person, bot)}/callbacks`, { message_id, data });
export const createManagedBot = (person, bot, body) => call("POST", `${chatPath(person, bot)}/managed-bots`, body);
export const createBot = (person, name, username) => call("POST", `/people/${person}/botfather`, { name, username });

export const pay = (person, bot, invoice) => call("POST", `${chatPath(person, bot)}/payments`, invoice);
export const webApp = (person, bot, url) => call("POST", `${chatPath(person, bot)}/web-app`, { url });

/** May this address be shown inside the phone? */
export async function mayBeFramed(url) {
  const response = await fetch(`/phone/framing?url=${encodeURIComponent(url)}`);
  return response.ok && (await response.json()).allowed;
}
