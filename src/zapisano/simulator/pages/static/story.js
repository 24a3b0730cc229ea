// The product's events told as stories, one per order. Pure: no page, no network, `now` is given.

export const STATIONS = [
  { name: "order", kinds: ["order.created"], done: ["order.created"] },
  { name: "payment", kinds: ["payment.created"], done: ["payment.created"] },
  { name: "notification", kinds: ["notification.received"], done: ["notification.received"] },
  { name: "settle", kinds: ["payment.settled", "payment.canceled", "payment.review", "subscription.extended"], done: ["payment.settled"] },
  { name: "schema", kinds: ["tenant.provisioning", "tenant.schema_created"], done: ["tenant.schema_created", "tenant.awaiting_bot"] },
  { name: "bot", kinds: ["tenant.awaiting_bot", "bot.attached", "tenant.active", "tenant.suspended", "tenant.resumed", "tenant.archived", "tenant.restored", "bot.revoked"], done: ["tenant.active"] },
  { name: "booking", kinds: ["booking.created", "booking.owner_told", "booking.moved", "booking.cancelled", "booking.reminded"], done: ["booking.created"] },
];

// What must follow the furthest event so far, and who does it.
const NEXT = {
  "order.created": { by: "person", key: "person_pay" },
  "payment.created": { by: "person", key: "person_pay" },
  "notification.received": { by: "worker", key: "worker_settle" },
  "payment.settled": { by: "worker", key: "worker_schema" },
  "tenant.provisioning": { by: "worker", key: "worker_provision" },
  "tenant.schema_created": { by: "worker", key: "worker_provision" },
  "tenant.awaiting_bot": { by: "person", key: "person_bot" },
  "bot.attached": { by: "worker", key: "worker_attach" },
  "tenant.active": { by: "person", key: "person_book" },
};
const ORDER = Object.keys(NEXT);
// What a tenant's first payment may record of the tenant before it records itself as settled.
const BEFORE_SETTLED = new Set(["tenant.provisioning", "subscription.extended"]);
const STATES = /^tenant\.(awaiting_bot|active|suspended|resumed|archived|restored)$/;
export const STUCK_MS = 5000;
const KEPT_EVENTS = 400;

export const station = (kind) => STATIONS.find(({ kinds }) => kinds.includes(kind));

/**
 * Add one event to events in order of their ids. Ids are drawn before a commit, so a lower one may
 * come later; one that is known already (a stream that starts again) changes nothing.
 */
export function add(events, event) {
  const place = events.findLastIndex(({ id }) => id <= event.id);
  if (events[place]?.id === event.id) return events;
  return events.toSpliced(place + 1, 0, event).slice(-KEPT_EVENTS);
}

/** The stories of these events, the one that went on last at the end. */
export function stories(events) {
  let told = [];
  for (const event of events.filter(tellable)) {
    const own = owners(told, event);
    const story = {
      id: own[0]?.id ?? event.id,
      keys: new Set([...own.flatMap((one) => [...one.keys]), ...keys(event)]),
      events: [...own.flatMap((one) => one.events), event].sort((a, b) => a.id - b.id),
      tenant: event.tenant || own.find(({ tenant }) => tenant)?.tenant || null,
    };
    told = [...told.filter((one) => !own.includes(one)), story];
  }
  return told;
}

// A notification that concerns no payment of ours (a refund, a forgery) is in the journal only.
const tellable = ({ kind, data }) => station(kind) && !(kind === "notification.received" && data.payment_id === null);

// The story an event goes on with. A payment's settlement names both its order and its tenant:
// so the tenant, registered a moment before, turns out to be of the same story.
function owners(told, event) {
  if (event.kind === "order.created") return [];
  const mine = [...keys(event)];
  const byOrder = told.findLast((story) => mine.some((key) => key !== event.tenant && story.keys.has(key)));
  const byTenant = told.findLast((story) => event.tenant && story.keys.has(event.tenant));
  if (!byOrder || byOrder === byTenant) return byTenant ? [byTenant] : [];
  return byTenant?.events.every(({ kind }) => BEFORE_SETTLED.has(kind)) ? [byOrder, byTenant] : [byOrder];
}

const has = (story, wanted) => story.events.some(({ kind }) => kind === wanted);

// Ids by which events of one order find each other: subject, and what `data` says of order,
// payment and tenant. A booking's subject is not one: it belongs by its tenant.
function keys({ kind, tenant, subject, data }) {
  const found = new Set();
  if (tenant) found.add(tenant);
  if (subject && !kind.startsWith("booking.")) found.add(String(subject));
  for (const [name, value] of Object.entries(data || {})) {
    if (/^(order|payment|tenant)_id$/.test(name) && ["string", "number"].includes(typeof value)) found.add(String(value));
  }
  return found;
}

/** State of each station of a story: "done", "now", "skipped" or "ahead", and its events. */
export function line(story) {
  const rows = STATIONS.map((one) => {
    const events = story ? story.events.filter(({ kind }) => one.kinds.includes(kind)) : [];
    const done = story ? story.events.some(({ kind }) => one.done.includes(kind)) : false;
    return { ...one, events, state: done ? "done" : events.length ? "now" : "ahead" };
  });
  const furthest = rows.findLastIndex(({ state }) => state !== "ahead");
  rows.forEach((row, index) => { if (row.state === "ahead" && index < furthest) row.state = "skipped"; });
  return rows;
}

/** What a story waits for: {by, key, ms, at: station name, stuck} or null. */
export function waiting(story, now) {
  if (!story) return null;
  const furthest = story.events.filter(({ kind }) => kind in NEXT).sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind)).at(-1);
  if (!furthest || renews(story) || story.events.some(({ kind }) => /^booking\.|^payment\.(review|canceled)$/.test(kind))) return null;
  const { by, key } = NEXT[furthest.kind];
  const ms = Math.max(0, now - Date.parse(furthest.at));
  return { by, key, ms, at: station(furthest.kind).name, stuck: by === "worker" && ms > STUCK_MS };
}

/** Is the place of this tenant ready, and no bot there yet? However often it was paid for. */
export function awaitsBot(tenant, events) {
  return events.findLast((event) => event.tenant === tenant && STATES.test(event.kind))?.kind === "tenant.awaiting_bot";
}

/** Did this story pay for a tenant that was there before? Its schema and bot are then not made. */
export function renews(story) {
  return has(story, "subscription.extended") && has(story, "payment.settled") && !has(story, "tenant.provisioning");
}
