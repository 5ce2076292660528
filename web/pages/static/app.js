// @ts-check
"use strict";

// Sign-in: what follows # never reached the server; post it once, then forget it.
async function signIn() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname + location.search);
  const answer = await fetch("/sign-in", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ token }),
  }).catch(() => null);
  if (!answer) return say("The server did not answer. Open your link once more.");
  if (answer.ok) {
    location.reload();
    return;
  }
  const problem = await answer.json().catch(() => null);
  say(problem ? problem.detail : "Signing in did not work. Try again.");
}

/**
 * @param {string} sentence
 * @param {Node[]} more
 */
function say(sentence, ...more) {
  const place = document.getElementById("sign-in-state") || document.getElementById("notice");
  place?.replaceChildren(sentence, ...more);
}

// A page with words that were not sent yet stays: the server would show the sign-in page in its place.
let isSignedOut = false;

function signedOut() {
  if (!halfWritten().length) return location.reload();
  if (isSignedOut) return;
  isSignedOut = true;
  stopFollowing();
  const link = document.createElement("a");
  Object.assign(link, { href: "/", target: "_blank", rel: "noopener", textContent: "Sign in" });
  say("You are signed out, and what you wrote is still here. ", link, " in another tab, come back and press again.");
}

function signedIn() {
  if (!isSignedOut) return;
  isSignedOut = false;
  say("");
}

// The page itself is made by the server alone: a change means asking for it again and morphing it in,
// which keeps focus and half-written reasons.
let asking = false;
let askAgain = false;
let actsBefore = 0; // how often something had been sent when the page was asked for

async function refresh() {
  askAgain = asking || isSending();
  if (askAgain || !live()) return;
  asking = true;
  actsBefore = acts;
  try {
    // What is shown already is not sent again (304), and htmx leaves it then as it is.
    const tag = live()?.dataset.tag;
    const headers = tag ? { "If-None-Match": tag } : {};
    // @ts-ignore htmx is a global of the vendored script
    await htmx.ajax("GET", location.pathname, { target: "#live", select: "#live", swap: "outerMorph", headers });
  } finally {
    asking = false;
    if (askAgain) refresh();
    else if (isOver()) stopFollowing();
    askLater();
  }
}

// What becomes of a card on its way to a chat is no event: meanwhile the page is asked for again, ever less often.
// So it is while the server could not show what the stream told of, and while there is no stream: a proxy may keep it.
const FIRST_MS = 2000;
const LONGEST_MS = 60000;
let later = 0;
let wait = FIRST_MS;
let waitedAt = 0;

function askLater() {
  clearTimeout(later);
  if (waitedAt !== shownUpTo()) wait = FIRST_MS;
  waitedAt = shownUpTo();
  if (!isOwed()) return;
  later = setTimeout(() => document.hidden || (isOwed() && refresh()), wait);
  wait = Math.min(2 * wait, LONGEST_MS);
}

const isOwed = () => Boolean(live()?.dataset.onItsWay) || isBehind() || isDeaf();

const live = () => document.getElementById("live");
const isOver = () => ["completed", "failed", "cancelled"].includes(live()?.dataset.state || "");

// A browser opens six connections a host, and each stream holds one: only the visible tab has a stream.
/** @type {EventSource | null} */
let source = null;
let lastSeen = 0; // the number of the last event that came
let lastChange = 0; // and of the last that the server has to put into the page
let timer = 0;

const shownUpTo = () => Number(live()?.dataset.seq || 0);
const isBehind = () => lastChange > shownUpTo();
const isDeaf = () => Boolean(live()?.dataset.stream) && !isOver() && source?.readyState !== EventSource.OPEN;

function follow() {
  const page = live();
  if (!page?.dataset.stream || source || isOver() || isSignedOut || document.hidden) return;
  lastSeen = Math.max(lastSeen, shownUpTo());
  source = new EventSource(`${page.dataset.stream}?last_event_id=${lastSeen}`);
  for (const name of (page.dataset.events || "").split(" ")) source.addEventListener(name, happened);
  source.onopen = () => (pause = FIRST_MS);
  source.onerror = () => {
    askLater();
    if (source?.readyState !== EventSource.CLOSED) return;
    stopFollowing();
    signInAgain();
    followLater();
  };
}

// A browser comes back by itself where the connection broke, and never where it was answered: by a proxy, say, whose
// server is being replaced.
let again = 0;
let pause = FIRST_MS;

function followLater() {
  clearTimeout(again);
  again = setTimeout(follow, pause);
  pause = Math.min(2 * pause, LONGEST_MS);
}

// A refused stream does not say why.
async function signInAgain() {
  const answer = await fetch(location.href, { method: "HEAD", headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.status === 401) signedOut();
}

// How far a node is, and its text, go straight into the page; anything else is the server's to show.
const SPACING_MS = 60;

/** @param {MessageEvent} message */
function happened(message) {
  const number = Number(message.lastEventId);
  // Told from the beginning again: an older database was put back, and what is shown is not there any more.
  if (number <= lastSeen) {
    told = [];
    refresh();
  }
  lastSeen = number;
  if (message.type === "progress_reported" || message.type === "text_streamed") {
    const word = { ...JSON.parse(message.data), seq: lastSeen };
    told.push(word);
    show(word);
    return;
  }
  lastChange = lastSeen;
  timer ||= setTimeout(() => {
    timer = 0;
    if (isBehind()) refresh();
  }, SPACING_MS);
}

/** @typedef {{ seq: number, node: string, text: string | null, fraction?: number | null }} Word */
/** @type {Word[]} */
let told = [];
const LONGEST_TEXT = 20000;

/** What the server did not know yet when it made the page. */
function showTold() {
  told = told.filter((word) => word.seq > shownUpTo());
  told.forEach(show);
}

/** @param {Word} word */
function show(word) {
  if (word.fraction === undefined) showText(word);
  else showProgress(word);
}

/** @param {Word} word */
function showText(word) {
  const place = document.getElementById("streamed");
  if (!place || word.text === null) return;
  const isAtEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 8;
  place.hidden = false;
  place.textContent = ((place.textContent || "") + spelled(word.text)).slice(-LONGEST_TEXT);
  if (isAtEnd) place.scrollTop = place.scrollHeight;
}

/** @param {Word} word */
function showProgress(word) {
  const place = document.getElementById("progress");
  const bar = document.getElementById("progress-bar");
  const note = document.getElementById("progress-note");
  const percent = document.getElementById("progress-percent");
  if (!place || !bar || !note || !percent) return;
  place.hidden = false;
  note.textContent = spelled(word.text || word.node);
  if (typeof word.fraction === "number") {
    bar.setAttribute("value", String(word.fraction));
    percent.textContent = `${Math.round(word.fraction * 100)} %`;
  } else {
    bar.removeAttribute("value");
    percent.textContent = "";
  }
}

// As core/literal.py has them: characters that hide or reorder text are seen.
const HIDDEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\u{110bd}\u{110cd}\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

/** @param {string} text */
const spelled = (text) =>
  text.replace(/\r\n/g, "\n").replace(HIDDEN, (found) => `[U+${hexadecimal(found)}]`);

/** @param {string} character */
const hexadecimal = (character) => (character.codePointAt(0) || 0).toString(16).toUpperCase().padStart(4, "0");

function stopFollowing() {
  source?.close();
  source = null;
}

function followOrNot() {
  if (document.hidden) {
    stopFollowing();
  } else {
    follow();
    askLater();
    // Nothing is followed on a task that has ended, and yet somebody may have resumed it.
    const page = live();
    if (page?.dataset.refresh || page?.dataset.onItsWay || isBehind() || isOver() || isSignedOut) refresh();
  }
}

function showLocalTimes() {
  for (const time of document.querySelectorAll("time:not([title])")) {
    time.setAttribute("title", new Date(time.getAttribute("datetime") || "").toLocaleString());
  }
}

// The next attempt is usually there by then; else the next look at the inbox finds it.
const NEXT_ATTEMPT_MS = 700;

/** @typedef {CustomEvent<{ ctx: { request: any, response?: { status: number }, sourceElement: Element } }>} Answer */

/** @param {Answer} event */
const isAsking = (event) => event.detail.ctx.request.method.toUpperCase() === "GET";

/** @param {Answer} event */
function answered(event) {
  const status = event.detail.ctx.response?.status || 0;
  const isRefused = status >= 400;
  if (status === 401) signedOut();
  else signedIn();
  if (isAsking(event)) {
    const isOld = isSending() || actsBefore !== acts; // it may show what was pressed meanwhile as not pressed
    askAgain ||= isOld;
    if (isRefused || isOld) event.preventDefault(); // keep what is shown
  } else if (status === 401) event.preventDefault();
  else if (isRefused) refresh(); // what was pressed is out of date
  else succeeded(event);
}

/** @param {Answer} event */
function succeeded(event) {
  say("");
  tell(`${event.detail.ctx.request.submitter?.textContent || "Sent"}: done.`);
  if (live()?.dataset.refresh) setTimeout(refresh, NEXT_ATTEMPT_MS);
}

/** @param {Answer} event */
function failed(event) {
  if (!event.detail.ctx?.request || isAsking(event)) return;
  say("The server did not answer, so this may not have counted. Press again when it is back.");
}

// Whoever was led to something that is folded wants it open.
function unfold() {
  const found = document.getElementById(location.hash.slice(1));
  if (found instanceof HTMLDetailsElement) found.open = true;
}

signIn();
unfold();
follow();
askLater();
showLocalTimes();
document.addEventListener("visibilitychange", followOrNot);
document.addEventListener("htmx:after:swap", () => {
  showLocalTimes();
  showTold();
  follow();
});
// @ts-ignore htmx's own event
document.addEventListener("htmx:after:request", answered);
// @ts-ignore
document.addEventListener("htmx:error", failed);
addEventListener("hashchange", signIn);
addEventListener("hashchange", unfold);
addEventListener("pagehide", stopFollowing);
addEventListener("pageshow", followOrNot);
addEventListener("online", followOrNot);
addEventListener("focus", () => isSignedOut && refresh());

const seconds = Number(live()?.dataset.refresh || 0);
const polling = seconds && setInterval(() => document.hidden || isAiming() || refresh(), seconds * 1000);
