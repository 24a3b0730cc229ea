// The sentences of the story: one per station before it is reached, one per event after.
import { lang, t } from "./texts.js";

const NAMES = {
  ru: { order: "Заказ", payment: "Оплата", notification: "Уведомление", settle: "Зачёт", schema: "Схема", bot: "Бот", booking: "Запись" },
  en: { order: "Order", payment: "Payment", notification: "Notification", settle: "Settlement", schema: "Schema", bot: "Bot", booking: "Booking" },
};

const AHEAD = {
  ru: {
    order: "Покупатель выберет тариф, и цена застынет в заказе.",
    payment: "ЮKassa получит платёж с ключом: повтор не создаст второго.",
    notification: "ЮKassa сообщит об оплате: сначала запись, потом ответ 200.",
    settle: "Воркер сам спросит ЮKassa и зачтёт деньги ровно один раз.",
    schema: "Клиент получит в PostgreSQL свою схему и свою роль.",
    bot: "Одно нажатие покупателя, и новый бот подключён.",
    booking: "Клиент запишется; пересечений не допустит сама база.",
  },
  en: {
    order: "The buyer picks a plan, and the price is frozen in an order.",
    payment: "YooKassa gets the payment with a key: a repeat makes no second one.",
    notification: "YooKassa reports the payment: written down first, answered 200 second.",
    settle: "The worker asks YooKassa itself and counts the money exactly once.",
    schema: "The client gets a PostgreSQL schema and role of its own.",
    bot: "One press by the buyer, and the new bot is connected.",
    booking: "A customer books; the database itself permits no overlap.",
  },
};

const OTHER = {
  ru: { skipped: "Не понадобилось.", renewed: "Уже есть: {tenant}." },
  en: { skipped: "Not needed.", renewed: "Already there: {tenant}." },
};

const MONTHS = {
  ru: { one: "месяц", few: "месяца", many: "месяцев", other: "месяца" },
  en: { one: "month", other: "months" },
};

// YooKassa's reasons and our own: why a payment was cancelled or held, why a tenant is paused.
const REASONS = {
  ru: {
    insufficient_funds: "на карте не хватило денег",
    "3d_secure_failed": "нет подтверждения 3-D Secure",
    card_expired: "срок карты истёк",
    call_issuer: "банк просит позвонить",
    general_decline: "банк не назвал причину",
    fraud_suspected: "банк заподозрил обман",
    invalid_card_number: "неверный номер карты",
    invalid_csc: "неверный код CVC",
    issuer_unavailable: "банк не ответил",
    payment_method_limit_exceeded: "лимит карты исчерпан",
    payment_method_restricted: "карта ограничена",
    country_forbidden: "карты этой страны не принимаются",
    expired_on_confirmation: "время на оплату вышло",
    expired_on_capture: "деньги не списали вовремя",
    canceled_by_merchant: "отменил магазин",
    permission_revoked: "разрешение на списания отозвано",
    unpaid: "нет оплаты",
    operator: "решил оператор",
  },
  en: {
    insufficient_funds: "not enough money on the card",
    "3d_secure_failed": "no 3-D Secure confirmation",
    card_expired: "the card has expired",
    call_issuer: "the bank asks for a call",
    general_decline: "the bank gave no reason",
    fraud_suspected: "the bank suspects fraud",
    invalid_card_number: "wrong card number",
    invalid_csc: "wrong CVC code",
    issuer_unavailable: "the bank did not answer",
    payment_method_limit_exceeded: "the card's limit is used up",
    payment_method_restricted: "the card is restricted",
    country_forbidden: "cards of this country are not taken",
    expired_on_confirmation: "the time to pay ran out",
    expired_on_capture: "the money was not taken in time",
    canceled_by_merchant: "cancelled by the shop",
    permission_revoked: "the permission to charge was withdrawn",
    unpaid: "not paid",
    operator: "the operator's decision",
  },
};

// Each gets {sum, plan, tenant, took, bot, until, start, cause}: ready words, empty when not known.
const EVENTS = {
  ru: {
    "order.created": ({ sum, plan }) => words("Заказ записан", plan, sum),
    "payment.created": ({ sum }) => words("ЮKassa ждёт оплату", sum),
    "notification.received": () => "Уведомление записано, ЮKassa получила 200",
    "payment.settled": ({ sum }) => `Оплата${sum && ` ${sum}`} получена и зачтена`,
    "payment.canceled": ({ cause }) => words("Платёж отменён, ничего не выдано", cause),
    "payment.review": ({ cause }) => words("Платёж отложен для оператора", cause),
    "subscription.extended": ({ until }) => `Подписка оплачена${until && ` до ${until}`}`,
    "tenant.provisioning": ({ tenant }) => `Готовим место: ${tenant}`,
    "tenant.schema_created": ({ tenant, took }) => `Схема ${tenant} создана${took && ` за ${took}`}`,
    "tenant.awaiting_bot": () => "Место готово, кнопка «Создать бота» в чате",
    "bot.attached": ({ bot }) => `Бот${bot && ` ${bot}`} подключён, вебхук стоит`,
    "tenant.active": ({ tenant }) => `${tenant} работает`,
    "tenant.suspended": ({ tenant, cause }) => words(`${tenant} на паузе`, cause),
    "tenant.archived": ({ tenant }) => `${tenant} убран в архив, одним файлом`,
    "tenant.restored": ({ tenant }) => `${tenant} возвращён из архива`,
    "bot.revoked": () => "Telegram больше не принимает токен бота, владельцу сказали",
    "tenant.resumed": ({ tenant }) => `${tenant} снова работает`,
    "booking.created": ({ start }) => words("Клиент записан", start),
    "booking.owner_told": () => "Владельцу пришло сообщение на телефон",
    "booking.moved": ({ start }) => words("Запись перенесена", start),
    "booking.cancelled": () => "Запись отменена, время снова свободно",
    "booking.reminded": () => "Напоминание отправлено",
  },
  en: {
    "order.created": ({ sum, plan }) => words("Order written down", plan, sum),
    "payment.created": ({ sum }) => words("YooKassa waits for the payment", sum),
    "notification.received": () => "Notification stored, YooKassa got its 200",
    "payment.settled": ({ sum }) => `Payment${sum && ` of ${sum}`} received and settled`,
    "payment.canceled": ({ cause }) => words("Payment cancelled, nothing granted", cause),
    "payment.review": ({ cause }) => words("Payment held for the operator", cause),
    "subscription.extended": ({ until }) => `Subscription paid${until && ` until ${until}`}`,
    "tenant.provisioning": ({ tenant }) => `Making a place: ${tenant}`,
    "tenant.schema_created": ({ tenant, took }) => `Schema ${tenant} created${took && ` in ${took}`}`,
    "tenant.awaiting_bot": () => "The place is ready, “Create my bot” is in the chat",
    "bot.attached": ({ bot }) => `Bot${bot && ` ${bot}`} connected, webhook set`,
    "tenant.active": ({ tenant }) => `${tenant} is running`,
    "tenant.suspended": ({ tenant, cause }) => words(`${tenant} is paused`, cause),
    "tenant.archived": ({ tenant }) => `${tenant} was put away, into one file`,
    "tenant.restored": ({ tenant }) => `${tenant} is back from the archive`,
    "bot.revoked": () => "Telegram no longer accepts the bot's token, the owner was told",
    "tenant.resumed": ({ tenant }) => `${tenant} is running again`,
    "booking.created": ({ start }) => words("Customer booked", start),
    "booking.owner_told": () => "The owner got a message on the phone",
    "booking.moved": ({ start }) => words("Booking moved", start),
    "booking.cancelled": () => "Booking cancelled, the time is free again",
    "booking.reminded": () => "Reminder sent",
  },
};

const words = (...parts) => parts.filter(Boolean).join(", ");

export const stationName = (name) => NAMES[lang][name];
export const aheadSentence = (name) => AHEAD[lang][name];
export const skippedSentence = () => OTHER[lang].skipped;
export const renewedSentence = (tenant) => OTHER[lang].renewed.replace("{tenant}", tenant);

/** One short human sentence for an event; `earlier` is the event of its story before it. */
export function sentence(event, earlier) {
  const data = event.data || {};
  const value = (name) => data[name] ?? "";
  const ms = value("took_ms") || (earlier ? Date.parse(event.at) - Date.parse(earlier.at) : "");
  return EVENTS[lang][event.kind]({
    sum: money(value("amount")),
    plan: planName(value("plan")),
    tenant: event.tenant || value("tenant_id") || event.subject,
    took: ms === "" ? "" : duration(Number(ms)),
    bot: at(value("username")),
    until: date(value("paid_until")),
    start: moment(value("starts_at"), value("time_zone")),
    cause: reason(value("reason")),
  });
}

/** `3m` as people say it; a plan with a name of its own keeps it. */
export function planName(plan) {
  const months = /^(\d+)m$/.exec(plan)?.[1];
  if (!months) return plan;
  const word = MONTHS[lang][new Intl.PluralRules(lang).select(Number(months))];
  return `${months} ${word}`;
}

/** Why, as people say it; a word we do not know is better left in the journal. */
const reason = (code) => REASONS[lang][code] || "";

const at = (username) => (username ? `@${String(username).replace(/^@/, "")}` : "");

function money(value) {
  const number = Number(value);
  if (value === "" || Number.isNaN(number)) return "";
  return `${number.toLocaleString(lang, { minimumFractionDigits: number % 1 ? 2 : 0 })} ₽`;
}

function date(value) {
  return value ? new Date(value).toLocaleDateString(lang, { day: "numeric", month: "long", year: "numeric" }) : "";
}

function moment(value, timeZone) {
  const options = { day: "numeric", month: "long", hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(timeZone && { timeZone }) };
  return value ? new Date(value).toLocaleString(lang, options) : "";
}

/** 340 ms, 12,4 s, 3 min 20 s. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ${t("ms")}`;
  if (ms < 60_000) return `${(ms / 1000).toLocaleString(lang, { maximumFractionDigits: 1 })} ${t("sec")}`;
  const [minutes, seconds] = [Math.floor(ms / 60_000), Math.floor(ms / 1000) % 60];
  return `${minutes} ${t("min")}${seconds ? ` ${seconds} ${t("sec")}` : ""}`;
}
