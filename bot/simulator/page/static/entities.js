// @ts-check
import { code, h, link } from "./dom.js";

/** @typedef {{type: string, offset: number, length: number, url?: string}} Entity */

/**
 * Telegram's text with its entities; offsets count UTF-16 units, as strings here do.
 * @param {string} text
 * @param {Entity[]} entities
 * @returns {(Node | string)[]}
 */
export function drawn(text, entities) {
  const sorted = [...entities].sort((one, other) => one.offset - other.offset || other.length - one.length);
  return between(text, sorted, 0, text.length);
}

/**
 * @param {string} text
 * @param {Entity[]} entities
 * @param {number} start
 * @param {number} end
 * @returns {(Node | string)[]}
 */
function between(text, entities, start, end) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let at = start;
  for (const [index, entity] of entities.entries()) {
    if (entity.offset < at || entity.offset >= end) continue;
    const until = entity.offset + entity.length;
    const isBlock = BLOCKS.has(entity.type);
    parts.push(isBlock ? text.slice(at, entity.offset).replace(/\n$/, "") : text.slice(at, entity.offset));
    parts.push(wrapped(entity, text, between(text, entities.slice(index + 1), entity.offset, until)));
    at = isBlock && text[until] === "\n" ? until + 1 : until;
  }
  parts.push(text.slice(at, end));
  return parts;
}

/** They stand in lines of their own, so that a line break beside them adds none. */
const BLOCKS = new Set(["pre", "blockquote"]);

const TAGS = {
  bold: "strong",
  italic: "em",
  underline: "u",
  strikethrough: "s",
  pre: "pre",
  blockquote: "blockquote",
};

/**
 * @param {Entity} entity
 * @param {string} text
 * @param {(Node | string)[]} inner
 */
function wrapped(entity, text, inner) {
  const words = text.slice(entity.offset, entity.offset + entity.length);
  if (entity.type === "url") return link(words, words);
  if (entity.type === "text_link") return link(entity.url || "", words);
  if (entity.type === "code") return code(words);
  const tag = TAGS[/** @type {keyof typeof TAGS} */ (entity.type)];
  return tag ? h(tag, {}, ...inner) : h("span", { class: "marked" }, ...inner);
}
