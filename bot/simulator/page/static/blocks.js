// @ts-check
import { code, h, link } from "./dom.js";

/** @typedef {(element: any, option?: string) => void} Press `option` is the value chosen in a menu */

/**
 * Slack's blocks as elements.
 * @param {any[]} blocks
 * @param {Press} press
 */
export function drawn(blocks, press) {
  return blocks.map((block) => (DRAWN[block.type] || unknown)(block, press));
}

/** @type {Record<string, (block: any, press: Press) => HTMLElement>} */
const DRAWN = {
  header: (block) => h("h3", { class: "b-header" }, block.text.text),
  section: (block, press) => h("div", { class: "b-section" }, ...section(block, press)),
  context: (block) => h("p", { class: "b-context" }, ...block.elements.flatMap(worded)),
  divider: () => h("hr"),
  rich_text: (block) => h("div", { class: "b-rich" }, ...block.elements.map(rich)),
  actions: (block, press) =>
    h("div", { class: "b-actions" }, ...block.elements.map((/** @type {any} */ one) => element(one, press))),
  input: (block) => input(block),
};

/** @param {any} block */
function unknown(block) {
  return h("p", { class: "b-context" }, `(a block of the kind ${block.type})`);
}

/**
 * @param {any} block
 * @param {Press} press
 */
function section(block, press) {
  const parts = block.text ? [h("p", {}, ...worded(block.text))] : [];
  for (const field of block.fields || []) parts.push(h("p", {}, ...worded(field)));
  if (block.accessory) parts.push(element(block.accessory, press));
  return parts;
}

/**
 * @param {any} shown
 * @param {Press} press
 */
function element(shown, press) {
  if (shown.type === "overflow") return menu(shown, press);
  if (shown.type !== "button") return h("span", {}, `(${shown.type})`);
  const kind = `b-button ${shown.style || ""}`;
  if (shown.url) {
    // Slack opens the address and tells the app of the press all the same.
    const address = { href: shown.url, target: "_blank", rel: "noopener" };
    return h("a", { ...address, class: kind, onclick: () => press(shown) }, shown.text.text);
  }
  return h("button", { type: "button", class: kind, onclick: () => press(shown) }, shown.text.text);
}

/**
 * The "…" behind a row of buttons.
 * @param {any} shown
 * @param {Press} press
 */
function menu(shown, press) {
  const options = shown.options.map((/** @type {any} */ option) => {
    const choose = () => {
      box.removeAttribute("open");
      press(shown, option.value);
    };
    return h("button", { type: "button", class: "b-button", onclick: choose }, option.text.text);
  });
  const opener = h("summary", { class: "b-button", "aria-label": "More actions", title: "More actions" }, "⋯");
  const list = h("div", { class: "b-options" }, ...options);
  const box = h("details", { class: "b-menu", ontoggle: () => box.scrollIntoView({ block: "nearest" }) }, opener, list);
  return box;
}

/** @param {any} block */
function input(block) {
  const id = `input-${block.block_id}`;
  const kind = block.element.multiline ? "textarea" : "input";
  const field = h(kind, {
    id,
    name: block.block_id,
    rows: block.element.multiline ? 4 : undefined,
    required: !block.optional,
    maxlength: block.element.max_length,
    placeholder: block.element.placeholder?.text,
    "aria-describedby": block.hint ? `${id}-hint` : undefined,
  });
  if (field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement) {
    field.value = block.element.initial_value || "";
  }
  const optional = block.optional ? h("small", {}, " (optional)") : null;
  const hint = block.hint ? h("small", { class: "hint", id: `${id}-hint` }, block.hint.text) : null;
  return h("div", { class: "b-input" }, h("label", { for: id }, block.label.text, optional), field, hint);
}

/**
 * A text object.
 * @param {any} text
 * @returns {(Node | string)[]}
 */
function worded(text) {
  return text.type === "mrkdwn" ? marked(text.text) : [text.text || ""];
}

const MARKS = /<@([A-Z0-9]+)>|<(https?:[^|>]+)(?:\|([^>]*))?>|`([^`\n]+)`|\*([^*\n]+)\*|_([^_\n]+)_/g;

/**
 * Slack's mrkdwn, as far as apps here use it.
 * @param {string} text
 * @returns {(Node | string)[]}
 */
export function marked(text) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(MARKS)) {
    parts.push(plain(text.slice(at, found.index)));
    const [whole, person, address, words, literal, bold, italic] = found;
    if (person) parts.push(h("strong", { "data-user": person }, `@${person}`));
    else if (address) parts.push(link(plain(address), plain(words || address)));
    else if (literal) parts.push(code(plain(literal)));
    else parts.push(h(bold ? "strong" : "em", {}, plain(bold || italic)));
    at = found.index + whole.length;
  }
  parts.push(plain(text.slice(at)));
  return parts;
}

/** @param {string} text with the three characters that Slack escapes */
function plain(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

/** @param {any} part */
function rich(part) {
  const inner = (part.elements || []).map(richElement);
  if (part.type === "rich_text_quote") return h("blockquote", {}, ...inner);
  if (part.type === "rich_text_preformatted") return h("pre", {}, ...inner);
  if (part.type === "rich_text_list") {
    return h("ul", {}, ...part.elements.map((/** @type {any} */ item) => h("li", {}, rich(item))));
  }
  return h("p", {}, ...inner);
}

/**
 * On the reader's clock, whatever the format asks for; Slack's clients know a dozen.
 * @param {any} part
 */
function moment(part) {
  const at = new Date(part.timestamp * 1000);
  const shown = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  return h("time", { datetime: at.toISOString(), title: part.fallback || "" }, shown);
}

/** @param {any} part */
function richElement(part) {
  if (part.type === "link") return link(part.url, part.text || part.url);
  if (part.type === "user") return h("strong", { "data-user": part.user_id }, `@${part.user_id}`);
  if (part.type === "date") return moment(part);
  let shown = /** @type {Node | string} */ (part.text || "");
  if (part.style?.code) shown = h("code", {}, shown);
  if (part.style?.bold) shown = h("strong", {}, shown);
  if (part.style?.italic) shown = h("em", {}, shown);
  return shown;
}
