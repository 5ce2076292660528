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
  }
}

const live = () => document.getElementById("live");
const isOver = () => ["completed", "failed", "cancelled"].includes(live()?.dataset.state || "");

// A browser opens six connections a host, and each stream holds one: only the visible tab has a stream.
/** @type {EventSource | null} */
let source = null;
let lastSeen = "";
let lastState = "";
let timer = 0;

function follow() {
  const address = live()?.dataset.stream;
  if (!address || source || isOver() || document.hidden) return;
  source = new EventSource(lastSeen ? `${address}?last_event_id=${lastSeen}` : address);
  source.onmessage = (message) => {
    lastSeen = message.lastEventId;
    lastState = stateOf(JSON.parse(message.data));
    // A replay runs through what the page already shows: only where it leads to matters.
    clearTimeout(timer);
    timer = setTimeout(() => lastState !== live()?.dataset.state && refresh(), 30);
  };
  source.onerror = () => {
    if (source?.readyState !== EventSource.CLOSED) return;
    stopFollowing();
    signInAgain();
  };
}

// A refused stream does not say why.
async function signInAgain() {
  const answer = await fetch(location.href, { method: "HEAD", headers: { Accept: "text/html" } }).catch(() => null);
  if (answer?.status === 401) location.reload();
}

/** @param {{ status: string, attempt?: number, review_id?: string }} message */
const stateOf = (message) => [message.status, message.review_id || message.attempt || ""].join(" ").trim();

function stopFollowing() {
  source?.close();
  source = null;
}

function followOrNot() {
  if (document.hidden) {
    stopFollowing();
  } else {
    follow();
    if (live()?.dataset.refresh) refresh();
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
showLocalTimes();
document.addEventListener("visibilitychange", followOrNot);
document.addEventListener("htmx:after:swap", () => {
  showLocalTimes();
  follow();
});
// @ts-ignore htmx's own event
document.addEventListener("htmx:after:request", answered);
document.addEventListener("keydown", submitByKeys);
addEventListener("hashchange", signIn);
addEventListener("pagehide", stopFollowing);
addEventListener("pageshow", followOrNot);

const seconds = Number(live()?.dataset.refresh || 0);
if (seconds) setInterval(() => document.hidden || refresh(), seconds * 1000);
