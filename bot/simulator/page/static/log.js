// @ts-check

/**
 * @typedef {object} Entry
 * @property {string} key the same for all versions of a message
 * @property {string} mark differs when the message looks different
 * @property {() => HTMLElement} make
 */

/** Pixels left free around what is brought into sight. */
const ROOM = 12;

/** @type {WeakMap<Element, string>} */
const marks = new WeakMap();

/**
 * Make a log show these entries in this order, leaving alone what has not changed, and bring into sight what
 * is new, or what has changed where nobody was looking.
 * @param {HTMLElement} log
 * @param {Entry[]} entries
 */
export function show(log, entries) {
  const isFirst = log.childElementCount === 0;
  const wasAtEnd = isFirst || log.scrollTop + log.clientHeight > log.scrollHeight - ROOM;
  const standing = new Map([...log.children].map((child) => [child.getAttribute("data-key"), child]));
  /** @type {Element | null} */
  let before = null;
  /** @type {HTMLElement | null} */
  let added = null;
  /** @type {HTMLElement | null} */
  let changed = null;
  for (const entry of entries) {
    let element = standing.get(entry.key);
    standing.delete(entry.key);
    if (!element || marks.get(element) !== entry.mark) {
      const fresh = made(entry, isFirst);
      if (element) replace(element, (changed = fresh));
      else log.append((added = fresh));
      element = fresh;
    }
    const wanted = before ? before.nextElementSibling : log.firstElementChild;
    if (wanted !== element) log.insertBefore(element, wanted);
    before = element;
  }
  for (const gone of standing.values()) gone.remove();
  if (isFirst || (wasAtEnd && !(added && added !== log.lastElementChild))) log.scrollTop = log.scrollHeight;
  else if (added || changed) bring(log, /** @type {HTMLElement} */ (added || changed), added !== null);
}

/**
 * Bring a message into sight, and the focus to it.
 * @param {HTMLElement} log
 * @param {string} key
 */
export function reveal(log, key) {
  const found = [...log.children].find((child) => child.getAttribute("data-key") === key);
  if (!(found instanceof HTMLElement)) return;
  found.classList.remove("fresh");
  found.tabIndex = -1;
  found.focus({ preventScroll: true });
  bring(log, found, true);
  requestAnimationFrame(() => found.classList.add("fresh"));
}

/**
 * @param {Entry} entry
 * @param {boolean} isOld
 */
function made(entry, isOld) {
  const element = entry.make();
  element.setAttribute("data-key", entry.key);
  element.classList.toggle("fresh", !isOld);
  marks.set(element, entry.mark);
  return element;
}

/**
 * A button that was pressed may be gone afterwards; then its message takes the focus.
 * @param {Element} old
 * @param {HTMLElement} fresh
 */
function replace(old, fresh) {
  const hadFocus = old.contains(document.activeElement);
  old.replaceWith(fresh);
  if (!hadFocus) return;
  fresh.tabIndex = -1;
  fresh.focus({ preventScroll: true });
}

/**
 * `scrollIntoView` would move the whole page, too.
 * @param {HTMLElement} log
 * @param {HTMLElement} element
 * @param {boolean} whole otherwise any part of it in sight is enough
 */
function bring(log, element, whole) {
  const top = element.offsetTop - ROOM;
  const bottom = element.offsetTop + element.offsetHeight + ROOM;
  const isSeen = top < log.scrollTop + log.clientHeight && bottom > log.scrollTop;
  if (isSeen && !whole) return;
  if (bottom > log.scrollTop + log.clientHeight) log.scrollTop = bottom - log.clientHeight;
  if (top < log.scrollTop) log.scrollTop = top;
}
