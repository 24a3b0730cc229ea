// What a link means inside the phone. Pure: no page, no network.

const HOSTS = new Set(["t.me", "www.t.me", "telegram.me"]);

/**
 * Read an address: {kind: "chat", username, payload} | {kind: "newbot", manager, username, name}
 * | {kind: "invoice", slug} | {kind: "web", url} | null. `/t/...` of this program stands for t.me, so that a web page
 * shown inside the phone can lead back to a chat.
 */
export function readLink(address, origin) {
  let url;
  try {
    url = new URL(address.includes(":") ? address : `https://${address}`);
  } catch {
    return null;
  }
  if (url.protocol === "tg:") return readDeepLink(url);
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const here = isHere(url.origin, origin) && url.pathname.startsWith("/t/");
  if (!here && !HOSTS.has(url.hostname)) return { kind: "web", url: url.href };
  const parts = url.pathname.slice(here ? 3 : 1).split("/").filter(Boolean).map(decodeURIComponent);
  if (parts[0] === "newbot" && parts[1]) {
    return { kind: "newbot", manager: parts[1], username: parts[2] || "", name: url.searchParams.get("name") || "" };
  }
  if (parts[0]?.startsWith("$")) return { kind: "invoice", slug: parts[0].slice(1) };
  if (parts.length === 1) return { kind: "chat", username: parts[0], payload: url.searchParams.get("start") || "" };
  return { kind: "web", url: url.href };
}

const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** Is this the same program under another of this machine's names? */
export function isHere(one, other) {
  const [a, b] = [new URL(one), new URL(other)];
  return a.origin === b.origin || (a.port === b.port && LOOPBACK.has(a.hostname) && LOOPBACK.has(b.hostname));
}

function readDeepLink(url) {
  const username = url.searchParams.get("domain");
  return username ? { kind: "chat", username, payload: url.searchParams.get("start") || "" } : null;
}
