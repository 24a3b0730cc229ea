// What to press next, for whoever holds the phone, in the chat that is open. Pure: no page, no network.
import { awaitsBot, renews, stories } from "./story.js";

const ORDER_LINK = /\/checkout\/([0-9a-f-]{36})/g;
const STATES = /^tenant\.(active|suspended|resumed|archived|restored)$/;
const RUNNING = new Set(["tenant.active", "tenant.resumed"]);
const FILED = new Set(["booking.created", "booking.moved"]);
const TOKENS = /^bot\.(attached|revoked)$/;

/**
 * The key of the sentence, or null while the person or the chat is not here yet. `phone` has its
 * person, bot, the content of the open chat and the ids of the bots its person has `met`; `events`
 * are the product's; `salesBot` is a username.
 */
export function nextStep({ person, bot, content, met }, events, salesBot) {
  if (!met) return null;
  const running = runningBot(events);
  if (!bot) return met.size ? "hint_list" : running ? "hint_visit" : "hint_find";
  if (!content) return null;
  // Who has said nothing to the seller while a bot is there to book with need not buy another.
  if (bot.username === salesBot && !content.messages.length) return running && !met.has(running) ? "hint_visit" : "hint_start";
  if (bot.username === salesBot) return buying(content, events);
  const own = ofBot(bot, events);
  return bot.owner_id === person.id ? owning(content, own) : booking(content, own);
}

/** The id of the bot connected last whose tenant works, or null. */
export function runningBot(events) {
  const works = (tenant) => RUNNING.has(events.findLast((event) => event.tenant === tenant && STATES.test(event.kind))?.kind);
  const last = (subject) => events.findLast((event) => event.subject === subject && TOKENS.test(event.kind))?.kind;
  const answers = (subject) => last(subject) === "bot.attached";
  const attached = events.findLast(({ kind, tenant, subject }) => kind === "bot.attached" && works(tenant) && answers(subject));
  return attached ? Number(attached.subject) : null;
}

/** A buyer in the sales bot goes the way of the order that the chat spoke of last. */
function buying({ messages }, events) {
  if (isNews(messages.at(-1), events.filter(({ kind }) => kind.startsWith("booking.")))) return "hint_told";
  const order = [...JSON.stringify(messages).matchAll(ORDER_LINK)].at(-1)?.[1];
  const story = order && stories(events).find(({ keys }) => keys.has(paidInstead(order, events)));
  if (!story) return "hint_plan";
  const happened = new Set(story.events.map(({ kind }) => kind));
  if (renews(story) && awaitsBot(story.tenant, events)) return "hint_attach";
  if (happened.has("tenant.active") || renews(story)) return ofTenant(events, story.tenant).some(isBooking) ? "hint_owns" : "hint_active";
  if (happened.has("tenant.awaiting_bot")) return "hint_attach";
  if (happened.has("payment.settled")) return "hint_paid";
  const last = story.events.findLast(({ kind }) => kind === "payment.canceled" || kind === "payment.created");
  return last?.kind === "payment.canceled" ? "hint_declined" : "hint_order";
}

/** The order that stands for this one: "Pay again" makes a new one, and the chat is not told. */
function paidInstead(order, events) {
  const next = events.find(({ kind, data }) => kind === "order.created" && data?.retry_of === order);
  return next ? paidInstead(next.subject, events) : order;
}

/** An owner in the bot that belongs to them. */
function owning({ messages, started }, mine) {
  if (!mine.some(isBooking)) return "hint_active";
  if (!started) return "hint_told_there"; // the sales bot tells owners who have not opened theirs
  return isNews(messages.at(-1), mine) ? "hint_told" : "hint_owns";
}

/** A customer in somebody's bot: with a booking comes its file for the calendar. */
function booking({ messages, started }, events) {
  const files = messages.filter(({ document: file }) => file?.name.endsWith(".ics"));
  if (files.some((file) => !isCancelled(file, events))) return "hint_booked";
  return started ? "hint_book_on" : "hint_book";
}

/** Is the booking cancelled that was made, or moved, just before this file of it was sent? */
function isCancelled({ date }, events) {
  const made = events.findLast(({ kind, at }) => FILED.has(kind) && Math.floor(Date.parse(at) / 1000) <= date);
  return Boolean(made) && events.some(({ kind, subject }) => kind === "booking.cancelled" && subject === made.subject);
}

const isBooking = ({ kind }) => kind === "booking.created";
const ofTenant = (events, tenant) => events.filter((event) => event.tenant === tenant);

/** What happened at the tenant whom this bot serves. */
function ofBot({ id }, events) {
  const attached = events.findLast(({ kind, subject }) => kind === "bot.attached" && subject === String(id));
  return attached ? ofTenant(events, attached.tenant) : [];
}

/** Was this message sent between a booking and the word that its owner was told? */
function isNews(message, events) {
  if (!message?.from_bot || message.edited) return false;
  const told = events.findLast(({ kind }) => kind === "booking.owner_told");
  const booked = events.findLast((event) => isBooking(event) && event.subject === told?.subject);
  return Boolean(booked) && message.date >= Math.floor(Date.parse(booked.at) / 1000) && message.date * 1000 <= Date.parse(told.at);
}

// A Russian sentence may hold a Latin name, and an English one a Russian company's.
const MOSTLY = 0.8;

/** Is the bot's last word written in the other alphabet than the page? */
export function speaksOther({ bot, content }, lang) {
  const said = bot && content?.messages.findLast(({ from_bot, service }) => from_bot && !service)?.text;
  const letters = said?.replace(/[@/][\w/]+/g, "").match(/\p{L}/gu) || [];
  const other = lang === "ru" ? /[a-z]/i : /[а-яё]/i;
  return letters.length > 0 && letters.filter((letter) => other.test(letter)).length >= MOSTLY * letters.length;
}
