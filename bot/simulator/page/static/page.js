// @ts-check
import { one } from "./dom.js";
import { Slack } from "./slack.js";
import { Tasks } from "./tasks.js";
import { Telegram } from "./telegram.js";

const slack = new Slack(one(document, "#slack"));
const telegram = new Telegram(one(document, "#telegram"));
const tasks = new Tasks();

// A browser opens six connections a host, and each stream holds one: only the visible tab has a stream.
/** @type {EventSource | null} */
let source = null;

function follow() {
  if (source || document.hidden) return;
  source = new EventSource("/demo/events");
  source.addEventListener("slack", (event) => slack.update(JSON.parse(event.data)));
  source.addEventListener("telegram", (event) => telegram.update(JSON.parse(event.data)));
  source.addEventListener("tasks", () => tasks.update());
}

function stop() {
  source?.close();
  source = null;
}

follow();
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : follow()));
addEventListener("pagehide", stop);
addEventListener("pageshow", follow);
