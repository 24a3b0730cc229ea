// The two endless streams of the simulator: what changed in whose chat, and the product's story.

const KEPT_EVENTS = 400;

/** Both streams, once they are opened. Every piece of news goes to `tell`, once. */
export class Streams {
  constructor(tell) {
    this.tell = tell;
    this.events = new Map();
    this.states = new Map(); // the latest word on each connection
    this.journal = ""; // whose events these are
    this.last = 0;
  }

  open() {
    if (this.phones) return;
    this.phones = this.followPhones();
    this.story = this.followStory();
  }

  /** Nothing is told until they are opened again; then what happened meanwhile comes first. */
  close() {
    this.phones?.close();
    this.story?.close();
    this.phones = this.story = null;
  }

  followPhones() {
    const source = new EventSource("/telegram/events");
    source.addEventListener("changed", ({ data }) => this.tell({ news: "chat", ...JSON.parse(data) }));
    source.addEventListener("open", () => this.state({ news: "phones", up: true }));
    source.addEventListener("error", () => this.state({ news: "phones", up: false }));
    return source;
  }

  /** The browser reconnects by itself, with the id of the last event. */
  followStory() {
    const source = new EventSource(`/story?after=${this.last}`);
    source.addEventListener("message", ({ data }) => this.keep(JSON.parse(data)));
    source.addEventListener("link", ({ data }) => {
      const { journal, ...link } = JSON.parse(data);
      if (link.reason === "not_configured") source.close(); // there is nothing to come back to
      if (journal) this.belong(journal);
      this.linked(link);
    });
    source.addEventListener("error", () => this.linked({ up: false, reason: "" }));
    return source;
  }

  /** Ids begin at 1 in every database: one begun anew is told from its start, the other forgotten. */
  belong(journal) {
    const anew = this.journal && this.journal !== journal;
    this.journal = journal;
    if (!anew) return;
    this.events.clear();
    this.last = 0;
    this.story.close();
    this.story = this.followStory();
  }

  linked(link) {
    this.state({ news: "story", journal: this.journal, ...link });
  }

  state(word) {
    this.states.set(word.news, word);
    this.tell(word);
  }

  keep(event) {
    this.last = event.id;
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
