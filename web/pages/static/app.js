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
  });
  if (answer.ok) {
    location.reload();
    return;
  }
  const problem = await answer.json().catch(() => null);
  say(problem ? problem.detail : "Signing in did not work. Try again.");
}

/** @param {string} sentence */
function say(sentence) {
  const place = document.getElementById("sign-in-state") || document.getElementById("notice");
  if (place) place.textContent = sentence;
}

// The page itself is made by the server alone: a change means asking for it again and morphing it in,
// which keeps focus and half-written reasons.
let asking = false;
let askAgain = false;

async function refresh() {
  askAgain = asking;
  if (asking || !live()) return;
  asking = true;
  try {
    // @ts-ignore htmx is a global of the vendored script
    await htmx.ajax("GET", location.pathname, { target: "#live", select: "#live", swap: "outerMorph" });
  } finally {
    asking = false;
    if (askAgain) refresh();
    else if (isOver()) stopFollowing();
    askLater();
  }
}

// What becomes of a card on its way to a chat is no event: meanwhile the page is asked for again, ever less often.
// So it is while the server could not show what the stream told of.
const FIRST_MS = 2000;
const LONGEST_MS = 60000;
let later = 0;
let wait = FIRST_MS;
let waitedAt = 0;

function askLater() {
  clearTimeout(later);
  if (waitedAt !== shownUpTo()) wait = FIRST_MS;
  waitedAt = shownUpTo();
  if (!live()?.dataset.onItsWay && !isBehind()) return;
  later = setTimeout(() => document.hidden || refresh(), wait);
  wait = Math.min(2 * wait, LONGEST_MS);
}

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

function follow() {
  const page = live();
  if (!page?.dataset.stream || source || isOver() || document.hidden) return;
  lastSeen = Math.max(lastSeen, shownUpTo());
  source = new EventSource(`${page.dataset.stream}?last_event_id=${lastSeen}`);
  for (const name of (page.dataset.events || "").split(" ")) source.addEventListener(name, happened);
  source.onopen = () => (pause = FIRST_MS);
  source.onerror = () => {
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
  if (answer?.status === 401) location.reload();
}

// How far a node is, and its text, go straight into the page; anything else is the server's to show.
const SPACING_MS = 60;

/** @param {MessageEvent} message */
function happened(message) {
  lastSeen = Number(message.lastEventId);
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
    // Nothing is followed on a task that has ended, and yet somebody may have resumed it.
    const page = live();
    if (page?.dataset.refresh || page?.dataset.onItsWay || isBehind() || isOver()) refresh();
  }
}

function showLocalTimes() {
  for (const time of document.querySelectorAll("time:not([title])")) {
    time.setAttribute("title", new Date(time.getAttribute("datetime") || "").toLocaleString());
  }
}

// The next attempt is usually there by then; else the next look at the inbox finds it.
const NEXT_ATTEMPT_MS = 700;

/** @param {CustomEvent<{ ctx: { request: { method: string }, response: { status: number } } }>} event */
function answered(event) {
  const { request, response } = event.detail.ctx;
  const isRefused = response.status >= 400;
  const isAsking = request.method.toUpperCase() === "GET";
  if (response.status === 401) location.reload(); // the server shows the sign-in page in its place
  if (response.status === 401 || (isRefused && isAsking)) event.preventDefault(); // keep what is shown
  else if (isRefused) refresh(); // what was pressed is out of date
  else if (!isAsking) {
    document.getElementById("notice")?.replaceChildren();
    if (live()?.dataset.refresh) setTimeout(refresh, NEXT_ATTEMPT_MS);
  }
}

// A list that moves just before a press has the wrong card's button pressed: it waits for its next turn.
const AIMING_MS = 1500;
let aimedAt = -Infinity;

/** @param {PointerEvent} event a finger aims by touching */
function aim(event) {
  if (buttonOf(event)) aimedAt = performance.now();
}

/** @param {Event} event */
const buttonOf = (event) => (event.target instanceof Element && event.target.closest("#live button")) || null;

const isAiming = () => performance.now() - aimedAt < AIMING_MS;

// The first half of a double click may have put another card's button where it was: the second half is no press.
/** @param {MouseEvent} event */
function passOverSecondHalf(event) {
  if (event.detail >= 2 && buttonOf(event)) passOver(event, "You pressed twice; only the first press counts.");
}

/**
 * @param {Event} event
 * @param {string} why
 */
function passOver(event, why) {
  event.preventDefault();
  event.stopImmediatePropagation();
  say(why);
}

// A finger's click falls on what is below it as it leaves: news may have put another card's button there meanwhile.
const TAP_MS = 1000;
/** @type {string | null} */
let pressed = null;
let forgetting = 0;

/**
 * What a button does, and to which review.
 * @param {Element | null} button
 */
const deed = (button) =>
  button instanceof HTMLButtonElement
    ? [button.form?.id, button.form?.getAttribute("action"), button.name, button.value].join(" ")
    : "";

/** @param {PointerEvent} event */
function press(event) {
  clearTimeout(forgetting);
  pressed = deed(buttonOf(event));
  aim(event);
}

function release() {
  forgetting = setTimeout(() => (pressed = null), TAP_MS);
}

/** @param {MouseEvent} event one by keys has no detail, and falls on what has the focus */
function passOverMoved(event) {
  const button = buttonOf(event);
  const isByKeys = event.detail === 0;
  if (!button || isByKeys || pressed === null || pressed === deed(button)) return;
  passOver(event, "The page changed as you pressed, so nothing was done. Please press again.");
}

// Ctrl or Cmd and Enter submit a task; a decision takes a button.
/** @param {KeyboardEvent} event */
function submitByKeys(event) {
  if (event.key !== "Enter" || event.repeat || !(event.ctrlKey || event.metaKey)) return;
  if (event.target instanceof HTMLTextAreaElement && event.target.form?.matches(".submit")) {
    event.target.form.requestSubmit();
  }
}

signIn();
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
document.addEventListener("pointermove", aim);
document.addEventListener("pointerdown", press, true);
document.addEventListener("pointerup", release, true);
document.addEventListener("pointercancel", release, true);
document.addEventListener("click", passOverSecondHalf, true);
document.addEventListener("click", passOverMoved, true);
document.addEventListener("keydown", submitByKeys);
addEventListener("hashchange", signIn);
addEventListener("pagehide", stopFollowing);
addEventListener("pageshow", followOrNot);

const seconds = Number(live()?.dataset.refresh || 0);
if (seconds) setInterval(() => document.hidden || isAiming() || refresh(), seconds * 1000);
