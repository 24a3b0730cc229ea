// News as it happens. A browser opens six connections to a host, so its tabs share two streams.
import { Streams } from "./streams.js";

/**
 * Call `receive` with all that happened in the story so far, then with all that happens:
 * {news: "chat", person, bot} | {news: "event", event} | {news: "phones", up}
 * | {news: "story", up, reason, journal}; events of another journal than before begin anew.
 */
export function listen(receive) {
  if (typeof SharedWorker === "undefined") listenAlone(receive);
  else listenTogether(receive);
}

/** A page that comes back from the browser's cache is told the story from its beginning again. */
function listenTogether(receive) {
  const join = () => {
    const { port } = new SharedWorker("/static/streams_worker.js", { type: "module", name: "zapisano" });
    port.addEventListener("message", ({ data }) => receive(data));
    port.start();
    addEventListener("pagehide", () => {
      port.postMessage("bye");
      port.close();
    }, { once: true });
  };
  join();
  addEventListener("pageshow", ({ persisted }) => { if (persisted) join(); });
}

/** Browsers of phones have no shared workers: there the tab that is seen has the streams. */
function listenAlone(receive) {
  const streams = new Streams(receive);
  const follow = () => (document.hidden ? streams.close() : streams.open());
  follow();
  document.addEventListener("visibilitychange", follow);
  addEventListener("pagehide", () => streams.close());
  addEventListener("pageshow", follow);
}
