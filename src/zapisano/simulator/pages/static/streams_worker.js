// One for all tabs of a browser: it reads the streams and hands everything on to every tab.
import { Streams } from "./streams.js";

const tabs = new Set();
const streams = new Streams((word) => tabs.forEach((tab) => tab.postMessage(word)));
streams.open();

addEventListener("connect", ({ ports: [tab] }) => {
  tab.addEventListener("message", () => tabs.delete(tab)); // a tab says one thing: that it goes
  tab.start();
  tabs.add(tab);
  for (const word of streams.soFar()) tab.postMessage(word);
});
