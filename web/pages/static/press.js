// @ts-check
"use strict";

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

// A key held down presses a button again and again: also the one that has come to stand in its place.
/** @param {KeyboardEvent} event */
function passOverHeld(event) {
  const isButton = event.target instanceof Element && event.target.closest("main button");
  if (event.repeat && event.key === "Enter" && isButton) event.preventDefault();
}

// One thing is sent at a time; nothing is disabled meanwhile, as a disabled button loses the focus.
let acts = 0;
let sending = 0;
const isSending = () => sending > 0;

/** @param {number} by */
function count(by) {
  sending += by;
  document.body.toggleAttribute("data-sending", isSending());
}

/** @param {Answer} event */
function begun(event) {
  if (isAsking(event)) return;
  acts += 1;
  count(1);
}

/** @param {Answer} event */
function ended(event) {
  if (isAsking(event)) return;
  count(-1);
  if (askAgain) refresh();
}

// A form that is answered with another page is sent once; after this time somebody may have stopped that page.
const STOPPED_MS = 10000;
/** @type {WeakMap<HTMLFormElement, number>} */
let sentAt = new WeakMap();

/** @param {SubmitEvent} event */
function sendOnce(event) {
  if (!(event.target instanceof HTMLFormElement)) return;
  if (event.target.hasAttribute("hx-post")) {
    if (isSending()) passOver(event, "One moment: what you pressed before is still on its way.");
    return;
  }
  const before = sentAt.get(event.target) ?? -Infinity;
  if (performance.now() - before < STOPPED_MS) event.preventDefault();
  else sentAt.set(event.target, performance.now());
}

// Where the focus was on something that is gone, a browser begins at the top of the page again.
/** @type {number | null} */
let lostAt = null;

const cards = () => [...(live()?.querySelectorAll("article") || [])];

function noteFocus() {
  const focused = document.activeElement;
  lostAt = focused && live()?.contains(focused) ? cards().findIndex((card) => card.contains(focused)) : null;
}

function findFocus() {
  const isLost = lostAt !== null && (!document.activeElement || document.activeElement === document.body);
  const place = isLost && placeFor(lostAt ?? -1);
  lostAt = null;
  if (!(place instanceof HTMLElement)) return;
  place.focus({ preventScroll: true });
  if (place.matches(":focus-visible")) place.scrollIntoView({ block: "nearest" });
}

/** @param {number} index of the card in which it was; -1 for none */
function placeFor(index) {
  const left = cards();
  const next = index < 0 ? live()?.querySelector("section.card") : left[Math.min(index, left.length - 1)];
  return next?.querySelector("h2[tabindex]") || live()?.querySelector("h1");
}

/** @param {string} sentence for those who do not see what has changed */
function tell(sentence) {
  document.getElementById("told")?.replaceChildren(sentence);
}

document.addEventListener("pointermove", aim);
document.addEventListener("pointerdown", press, true);
document.addEventListener("pointerup", release, true);
document.addEventListener("pointercancel", release, true);
document.addEventListener("click", passOverSecondHalf, true);
document.addEventListener("click", passOverMoved, true);
document.addEventListener("keydown", submitByKeys);
document.addEventListener("keydown", passOverHeld, true);
document.addEventListener("submit", sendOnce, true);
// @ts-ignore htmx's own events
document.addEventListener("htmx:before:request", begun);
// @ts-ignore
document.addEventListener("htmx:finally:request", ended);
document.addEventListener("htmx:before:swap", noteFocus);
document.addEventListener("htmx:after:swap", findFocus);
addEventListener("pageshow", () => (sentAt = new WeakMap()));
