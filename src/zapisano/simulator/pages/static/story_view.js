// The notebook beside the phone: stations light up as the product's events come.
import { h, icon } from "./dom.js";
import { add, awaitsBot, line, renews, stories, waiting } from "./story.js";
import { aheadSentence, duration, renewedSentence, sentence, skippedSentence, stationName } from "./story_texts.js";
import { t } from "./texts.js";

const RAW_PER_STATION = 6;
const JOURNAL_ROWS = 200;
const STORIES = 30;

/** The story in `root` (see _story.html). `observe(story)` is called when it goes on. */
export class StoryView {
  constructor(root, { observe = () => {} } = {}) {
    this.root = root;
    this.observe = observe;
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.part("which").addEventListener("change", (event) => {
      const id = Number(event.target.value);
      this.picked = id === this.stories.at(-1)?.id ? null : id; // the newest one is followed
      this.draw();
    });
    this.begin("");
    this.draw();
    setInterval(() => this.drawWait(), 200);
  }

  /** Know nothing yet of this journal's events, nor any more of another's. */
  begin(journal) {
    this.journal = journal;
    this.events = [];
    this.stories = [];
    this.listed = new Set();
    this.picked = null;
    this.said = undefined;
    this.part("said").replaceChildren();
    this.part("journal").replaceChildren();
  }

  /** News from the streams that concern the story. */
  hear(word) {
    if (word.news === "event") this.receive(word.event);
    else if (word.news === "story") this.linked(word);
  }

  linked({ up, reason = "", journal }) {
    if (journal && journal !== this.journal) {
      this.begin(journal);
      this.drawSoon();
    }
    const status = reason.startsWith("status_") ? t("down_status", { code: reason.slice(7) }) : t(reason === "not_configured" ? "down_configured" : "down");
    this.part("link").textContent = up ? t("live") : status;
    this.part("link").dataset.up = String(up);
  }

  receive(event) {
    this.events = add(this.events, event);
    this.drawSoon();
  }

  /** A replay brings many events at once: they are drawn together. */
  drawSoon() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = null;
      this.draw();
    });
  }

  story() {
    return this.stories.find(({ id }) => id === this.picked) || this.stories.at(-1) || null;
  }

  draw() {
    this.stories = stories(this.events).slice(-STORIES);
    const story = this.story();
    this.drawChoice(story);
    this.drawLine(story);
    this.drawJournal();
    this.drawWait();
    this.observe(story);
  }

  drawChoice(story) {
    const select = this.part("which");
    const name = (one) => one.tenant || t("story_order", { n: String(one.events[0].subject).slice(0, 8) });
    const signature = this.stories.map((one) => `${one.id}${name(one)}`).join() + this.picked;
    select.closest("label").hidden = this.stories.length < 2;
    if (signature === this.choiceSignature) return;
    this.choiceSignature = signature;
    const options = this.stories.toReversed().map((one) => h("option", { value: one.id }, name(one)));
    select.replaceChildren(...options);
    if (story) select.value = String(story.id);
  }

  drawLine(story) {
    const list = this.part("line");
    const there = story && renews(story) ? ["schema", ...(awaitsBot(story.tenant, this.events) ? [] : ["bot"])] : [];
    line(story).forEach((row, index) => {
      const now = { ...row, renewed: there.includes(row.name) && !row.events.length };
      const signature = JSON.stringify([story?.id, now]);
      const old = list.children[index];
      if (old?.dataset.signature === signature) return;
      const element = this.stationElement(now, story);
      element.dataset.signature = signature;
      if (old) old.replaceWith(element);
      else list.append(element);
    });
    const last = story?.events.at(-1);
    if (last && last.id !== this.said) this.part("said").textContent = sentence(last, story.events.at(-2));
    this.said = last?.id;
  }

  stationElement({ name, events, state, renewed }, story) {
    const shown = renewed ? "skipped" : state;
    const waits = h("div", { class: "wait", data: { wait: name } });
    const sentences = events.length
      ? events.slice(-RAW_PER_STATION).map((event) => this.told(event, story))
      : [h("p", { class: "ahead" }, renewed ? renewedSentence(story.tenant) : state === "skipped" ? skippedSentence() : aheadSentence(name))];
    return h("li", { class: `station ${shown}`, data: { station: name }, "aria-current": state === "now" ? "step" : null },
      h("span", { class: "stop" }, icon("check")), h("div", { class: "station-body" }, h("h3", {}, stationName(name)), sentences, waits));
  }

  told(event, story) {
    const earlier = story.events[story.events.indexOf(event) - 1];
    const since = earlier ? t("since", { ms: duration(Date.parse(event.at) - Date.parse(earlier.at)) }) : t("first");
    return h("div", { class: "told" }, h("p", {}, sentence(event, earlier)),
      h("p", { class: "raw" }, h("span", {}, `#${event.id}`), h("span", {}, event.kind), h("span", {}, since)));
  }

  /** The only thing that moves by itself: how long the story has been waiting, and for whom. */
  drawWait() {
    const wait = waiting(this.story(), Date.now());
    for (const slot of this.root.querySelectorAll("[data-wait]")) {
      const here = wait?.at === slot.dataset.wait;
      slot.className = here ? `wait ${wait.by}${wait.stuck ? " stuck" : ""}` : "wait";
      const text = here ? this.waitText(wait) : "";
      if (slot.textContent !== text) slot.textContent = text;
    }
  }

  waitText({ by, key, ms, stuck }) {
    if (by === "person") return t("wait_person", { what: t(key) });
    const counted = t("wait_worker", { what: t(key), s: Math.floor(ms / 1000) });
    return stuck ? `${counted}\n${t("wait_stuck")}` : counted;
  }

  drawJournal() {
    const { events } = this;
    this.part("count").textContent = events.length ? String(events.length) : "";
    const list = this.part("journal");
    const fresh = events.filter(({ id }) => !this.listed.has(id));
    fresh.forEach(({ id }) => this.listed.add(id));
    list.prepend(...fresh.toReversed().map((event) => journalRow(event, events[events.indexOf(event) - 1])));
    while (list.childElementCount > JOURNAL_ROWS) list.lastElementChild.remove();
    this.part("empty").hidden = events.length > 0;
  }
}

function journalRow(event, earlier) {
  const since = earlier ? t("since", { ms: duration(Date.parse(event.at) - Date.parse(earlier.at)) }) : t("first");
  const data = Object.keys(event.data || {}).length ? h("code", {}, JSON.stringify(event.data)) : null;
  return h("li", {}, h("span", { class: "id" }, `#${event.id}`), h("strong", {}, event.kind), h("span", {}, event.tenant || event.subject), h("span", { class: "since" }, since), data);
}
