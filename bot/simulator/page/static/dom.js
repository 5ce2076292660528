// @ts-check

/**
 * An element; strings among the children become text and never markup.
 * @param {string} name
 * @param {Record<string, any>} [properties] attributes, and listeners as `onclick`
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(.../** @type {(Node | string)[]} */ (children.filter((child) => child)));
  return element;
}

/**
 * @param {ParentNode} within
 * @param {string} selector
 * @returns {HTMLElement}
 */
export function one(within, selector) {
  const found = within.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`there is no ${selector}`);
  return found;
}

/**
 * What opens the place on this page that an address means; null where it means none.
 * @typedef {(address: string) => (() => void) | null} Finder
 */

/** The platforms' own addresses of what is simulated here: nobody is to be sent to the real ones. */
const finders = /** @type {Finder[]} */ ([]);

/** @param {Finder} finder */
export function leadInside(finder) {
  finders.push(finder);
}

/**
 * A link, where the address is one that a browser may open from here.
 * @param {string} address
 * @param {string} words
 */
export function link(address, words) {
  for (const find of finders) {
    const open = find(address);
    if (open) return h("a", { href: "#content", title: address, onclick: inside(open) }, words);
  }
  if (!/^https?:\/\//i.test(address)) return document.createTextNode(words);
  return h("a", { href: address, target: "_blank", rel: "noopener" }, words);
}

/**
 * @param {() => void} open
 * @returns {(event: Event) => void}
 */
function inside(open) {
  return (event) => {
    event.preventDefault();
    open();
  };
}

/**
 * A file that somebody sent.
 * @param {string} address
 * @param {string} name
 * @param {number} bytes
 */
export function attachment(address, name, bytes) {
  const size = bytes < 1024 ? `${bytes} bytes` : `${Math.round(bytes / 1024).toLocaleString()} KiB`;
  return h("p", { class: "file" }, h("a", { href: address, download: name }, name), ` · ${size}`);
}

/**
 * The beginning of a digest is enough to compare by eye; all of it is the tooltip.
 * @param {string} words
 */
export function code(words) {
  const isDigest = /^[0-9a-f]{64}$/.test(words);
  return h("code", isDigest ? { class: "digest", title: words } : {}, words);
}

/** @param {number} seconds since 1970 */
export function clock(seconds) {
  const at = new Date(seconds * 1000);
  const shown = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  return h("time", { datetime: at.toISOString(), title: at.toLocaleString() }, shown);
}

/** @param {string} name */
export function initials(name) {
  return name.split(/\s+/).map((word) => word[0] || "").join("").slice(0, 2).toUpperCase();
}
