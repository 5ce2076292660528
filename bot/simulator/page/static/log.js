// @ts-check

/**
 * @typedef {object} Entry
 * @property {string} key the same for all versions of a message
 * @property {string} mark differs when the message looks different
 * @property {() => HTMLElement} make
 */

/** @type {WeakMap<Element, string>} */
const marks = new WeakMap();

/**
 * Make a log show these entries in this order, leaving alone what has not changed, and bring the last one
 * that is new or different into sight.
 * @param {HTMLElement} log
 * @param {Entry[]} entries
 */
export function show(log, entries) {
  const isFirst = log.childElementCount === 0;
  const standing = new Map([...log.children].map((child) => [child.getAttribute("data-key"), child]));
  /** @type {Element | null} */
  let before = null;
  /** @type {HTMLElement | null} */
  let last = null;
  for (const entry of entries) {
    let element = standing.get(entry.key);
    standing.delete(entry.key);
    if (!element || marks.get(element) !== entry.mark) {
      last = made(entry, isFirst);
      element ? replace(element, last) : log.append(last);
      element = last;
    }
    const wanted = before ? before.nextElementSibling : log.firstElementChild;
    if (wanted !== element) log.insertBefore(element, wanted);
    before = element;
  }
  for (const gone of standing.values()) gone.remove();
  if (isFirst) log.scrollTop = log.scrollHeight;
  else if (last) bring(log, last);
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
 */
function bring(log, element) {
  const room = 12;
  const top = element.offsetTop - room;
  const bottom = element.offsetTop + element.offsetHeight + room;
  if (bottom > log.scrollTop + log.clientHeight) log.scrollTop = bottom - log.clientHeight;
  if (top < log.scrollTop) log.scrollTop = top;
}
