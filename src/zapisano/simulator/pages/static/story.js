// The product's events told as stories, one per order. Pure: no page, no network, `now` is given.

export const STATIONS = [
  { name: "order", kinds: ["order.created"], done: ["order.created"] },
  { name: "payment", kinds: ["payment.created"], done: ["payment.created"] },
  { name: "notification", kinds: ["notification.received"], done: ["notification.received"] },
  { name: "settle", kinds: ["payment.settled", "payment.review", "subscription.extended"], done: ["payment.settled"] },
  { name: "schema", kinds: ["tenant.provisioning", "tenant.schema_created"], done: ["tenant.schema_created", "tenant.awaiting_bot"] },
  { name: "bot", kinds: ["tenant.awaiting_bot", "bot.attached", "tenant.active", "tenant.suspended", "tenant.resumed"], done: ["tenant.active"] },
  { name: "booking", kinds: ["booking.created", "booking.moved", "booking.cancelled", "reminder.sent"], done: ["booking.created"] },
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
export const STUCK_MS = 5000;
const KEPT_STORIES = 30;
const KEPT_EVENTS = 400;

export const station = (kind) => STATIONS.find(({ kinds }) => kinds.includes(kind));

/** Everything known so far: raw events oldest first, stories in order of their last event. */
export const nothing = () => ({ events: [], stories: [] });

/** Add one event; events seen before (a stream that starts again) change nothing. */
export function add(state, event) {
  const last = state.events.at(-1);
  if (last && event.id <= last.id) return state;
  const events = [...state.events, event].slice(-KEPT_EVENTS);
  if (!station(event.kind)) return { ...state, events };
  const story = owner(state.stories, event);
  const told = { ...story, keys: new Set([...story.keys, ...keys(event)]), events: [...story.events, event], tenant: event.tenant || event.data?.tenant_id || story.tenant };
  return { events, stories: [...state.stories.filter((one) => one !== story), told].slice(-KEPT_STORIES) };
}

function owner(stories, event) {
  const fresh = { id: event.id, keys: new Set(), events: [], tenant: null };
  if (event.kind === "order.created") return fresh;
  const mine = keys(event);
  const known = stories.findLast((story) => [...mine].some((key) => story.keys.has(key)));
  if (known) return known;
  const latest = stories.at(-1);
  const there = station(event.kind);
  return latest && !latest.tenant && !latest.events.some(({ kind }) => there.kinds.includes(kind)) ? latest : fresh;
}

// Ids by which events of one order find each other: subject, and what `data` says of order,
// payment and tenant. A booking's or reminder's subject is not one: it belongs by its tenant.
function keys({ kind, tenant, subject, data }) {
  const found = new Set();
  if (tenant) found.add(tenant);
  if (subject && !/^(booking|reminder)\./.test(kind)) found.add(String(subject));
  for (const [name, value] of Object.entries(data || {})) {
    if (/^(order|payment|tenant|provider_payment|external)(_id)?$/.test(name) && ["string", "number"].includes(typeof value)) found.add(String(value));
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

/** What the story waits for: {by, key, ms, at: station name, stuck} or null. */
export function waiting(state, story, now) {
  if (!story) return null;
  const furthest = story.events.filter(({ kind }) => kind in NEXT).sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind)).at(-1);
  if (!furthest || story.events.some(({ kind }) => kind.startsWith("booking.") || kind === "payment.review")) return null;
  if (furthest.kind === "notification.received" && /cancel|refund/.test(JSON.stringify(furthest.data))) return null;
  if (furthest.kind === "payment.settled" && renews(state, story)) return null;
  const { by, key } = NEXT[furthest.kind];
  const ms = Math.max(0, now - Date.parse(furthest.at));
  return { by, key, ms, at: station(furthest.kind).name, stuck: by === "worker" && ms > STUCK_MS };
}

/** Does this story pay for a tenant that already works? Its schema and bot are then not made. */
export function renews(state, story) {
  return Boolean(story.tenant) && !story.events.some(({ kind }) => kind.startsWith("tenant."))
    && state.stories.some((other) => other !== story && other.tenant === story.tenant && other.id < story.id);
}
