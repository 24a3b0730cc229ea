// The two endless streams of the simulator: what changed in whose chat, and the product's story.

const KEPT_EVENTS = 400;

/** Both streams, open from now on. Every piece of news goes to `tell`, once. */
export class Streams {
  constructor(tell) {
    this.tell = tell;
    this.events = new Map();
    this.states = new Map(); // the latest word on each connection
    this.followPhones();
    this.followStory();
  }

  followPhones() {
    const source = new EventSource("/telegram/events");
    source.addEventListener("changed", ({ data }) => this.tell({ news: "chat", ...JSON.parse(data) }));
    source.addEventListener("open", () => this.state({ news: "phones", up: true }));
    source.addEventListener("error", () => this.state({ news: "phones", up: false }));
  }

  /** The browser reconnects by itself, with the id of the last event. */
  followStory() {
    const source = new EventSource("/story");
    source.addEventListener("message", ({ data }) => this.keep(JSON.parse(data)));
    source.addEventListener("link", ({ data }) => {
      const link = JSON.parse(data);
      if (link.reason === "not_configured") source.close(); // there is nothing to come back to
      this.state({ news: "story", ...link });
    });
    source.addEventListener("error", () => this.state({ news: "story", up: false, reason: "" }));
  }

  state(word) {
    this.states.set(word.news, word);
    this.tell(word);
  }

  keep(event) {
    if (this.events.has(event.id)) return;
    this.events.set(event.id, event);
    if (this.events.size > KEPT_EVENTS) this.events.delete(this.events.keys().next().value);
    this.tell({ news: "event", event });
  }

  /** What somebody must be told who comes now. */
  soFar() {
    return [...this.states.values(), ...[...this.events.values()].map((event) => ({ news: "event", event }))];
  }
}
