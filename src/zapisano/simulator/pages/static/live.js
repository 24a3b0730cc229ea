// News as it happens. A browser opens six connections to a host, so its tabs share two streams.
import { Streams } from "./streams.js";

/**
 * Call `receive` with all that happened in the story so far, then with all that happens:
 * {news: "chat", person, bot} | {news: "event", event} | {news: "phones" | "story", up, reason}.
 * A page that comes back from the browser's cache is told the story from its beginning again.
 */
export function listen(receive) {
  // Some browsers of small phones have no shared workers; one tab is then alone with its streams.
  if (typeof SharedWorker === "undefined") return void new Streams(receive);
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
