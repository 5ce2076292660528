// @ts-check
"use strict";

// What people type is theirs: it outlives the form that they typed it into, which goes when somebody else decides.
/** @typedef {HTMLTextAreaElement | HTMLInputElement} Field */
/** @typedef {{ id: string, label: string, text: string }} Words */

/** @returns {Field[]} */
const halfWritten = () =>
  // @ts-ignore these are fields
  [...document.querySelectorAll("main textarea[id]:not([readonly]), main input[name=comment]")].filter(
    (/** @type {Field} */ field) => field.value.trim() && field.value !== field.defaultValue,
  );

/** @type {Words[]} */
let atRisk = [];

/** @param {Answer} event */
function noteWords(event) {
  const { request, response, sourceElement } = event.detail.ctx;
  const sent = request.method.toUpperCase() !== "GET" && (response?.status || 0) < 400 ? sourceElement : null;
  atRisk = halfWritten()
    .filter((field) => field.form !== sent)
    .map((field) => ({ id: field.id, label: labelOf(field), text: field.value }));
}

/** @param {Field} field */
const labelOf = (field) => field.labels?.[0]?.firstChild?.textContent?.trim() || "";

function keepWords() {
  for (const words of atRisk) {
    const field = document.getElementById(words.id);
    if (!(field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement)) keep(words);
    else if (field.value === field.defaultValue) field.value = words.text; // a new field in the same place
  }
  atRisk = [];
}

/** @param {Words} words */
function keep(words) {
  const place = document.getElementById("kept");
  const field = document.createElement("textarea");
  Object.assign(field, { value: words.text, readOnly: true, rows: 3, dir: "auto" });
  const label = document.createElement("label");
  label.append(words.label, field);
  place?.querySelector("div")?.append(label);
  if (place) place.hidden = false;
}

function removeKept() {
  const place = document.getElementById("kept");
  place?.querySelector("div")?.replaceChildren();
  if (place) place.hidden = true;
}

// A browser cuts off what a field has no room for, and says nothing.
/** @param {Event} event */
function measure(event) {
  const field = event.target;
  if (!(field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement) || field.maxLength < 0) return;
  const brought = event instanceof ClipboardEvent ? event.clipboardData : null;
  const selected = (field.selectionEnd || 0) - (field.selectionStart || 0);
  const length = field.value.length - selected + (brought?.getData("text/plain") || "").replace(/\r\n/g, "\n").length;
  if (length > field.maxLength) say(`Only ${field.maxLength} characters fit here, so the end of your text is left out.`);
}

// A browser shows a file that is dropped on a page in the page's place.
/** @param {DragEvent} event */
function refuseFiles(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  if (event.type === "drop") say("Files cannot be dropped here. Paste their text.");
}

// @ts-ignore htmx's own event
document.addEventListener("htmx:before:swap", noteWords);
document.addEventListener("htmx:after:swap", keepWords);
document.getElementById("kept")?.querySelector("button")?.addEventListener("click", removeKept);
document.addEventListener("paste", measure);
document.addEventListener("dragover", refuseFiles);
document.addEventListener("drop", refuseFiles);
