// @ts-check
import { h, initials, one } from "./dom.js";

/** What the app and the bot are called. */
export const OURS = "Countersign";

/** @typedef {{id: string, name: string}} Person */
/** @typedef {{key: string, words: string, placeholder?: string}} Reply */

/**
 * What both chats have: people to be, a composer that may answer a message, passing notes.
 * The `section` is one of the page's two.
 */
export class Chat {
  /**
   * @param {HTMLElement} section
   * @param {{act: string, changed: () => void, send: (text: string, reply: string | null) => Promise<any>}} how
   */
  constructor(section, how) {
    this.section = section;
    this.how = how;
    this.log = one(section, ".log");
    this.shade = one(section, ".shade");
    this.me = "";
    /** @type {Reply | null} */
    this.reply = null;
    this.composer = one(section, ".composer");
    this.input = /** @type {HTMLInputElement} */ (one(this.composer, "input"));
    this.composer.addEventListener("submit", (event) => this.send(event));
    one(section, ".drop").addEventListener("click", () => this.answer(null));
  }

  /** @param {string} name */
  named(name) {
    one(this.section, ".place").textContent = name;
  }

  /** @param {Person[]} people */
  people(people) {
    const place = one(this.section, ".people");
    if (place.querySelectorAll("input").length === people.length) return;
    if (!this.me && people.length) this.me = people[0].id;
    place.replaceChildren(one(place, "legend"), ...people.map((person) => this.choice(person)));
  }

  /** @param {Person} person */
  choice(person) {
    const id = `${this.section.id}-${person.id}`;
    const choose = () => {
      this.me = person.id;
      this.answer(null);
      this.how.changed();
    };
    const name = `${this.section.id}-me`;
    const radio = h("input", { type: "radio", id, name, checked: person.id === this.me, onchange: choose });
    const shown = [avatar(person.name), h("span", {}, person.name.split(" ")[0])];
    return h("span", { class: "person" }, radio, h("label", { for: id, title: person.name }, ...shown));
  }

  /**
   * Do something as the chosen person; a refusal is noted and gives null.
   * @param {string} what
   * @param {Record<string, any>} body
   * @returns {Promise<any>}
   */
  async act(what, body) {
    this.section.classList.add("busy");
    try {
      const answer = await fetch(`/demo/${this.how.act}/${what}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify(body),
      });
      const said = await answer.json();
      if (answer.ok) return said;
      this.note(said.detail);
    } catch {
      this.note("The demo does not answer. Is it still running?");
    } finally {
      this.section.classList.remove("busy");
    }
    return null;
  }

  /** @param {string} words */
  note(words) {
    const toast = one(this.section, ".toast");
    clearTimeout(this.fading);
    toast.textContent = words;
    toast.hidden = false;
    this.fading = setTimeout(() => (toast.hidden = true), 6000);
  }

  /** @param {Reply | null} reply */
  answer(reply) {
    this.reply = reply;
    const bar = one(this.section, ".replying");
    bar.hidden = reply === null;
    one(bar, "span").textContent = reply ? reply.words : "";
    this.input.placeholder = reply?.placeholder || "Message";
  }

  /** Whether the focus is here, or nowhere since what had it is gone. */
  isAttended() {
    return this.section.contains(document.activeElement) || document.activeElement === document.body;
  }

  /** @param {Event} event */
  async send(event) {
    event.preventDefault();
    const text = this.input.value;
    this.input.value = "";
    const reply = this.reply;
    this.answer(null);
    if ((await this.how.send(text, reply ? reply.key : null)) !== null) return;
    this.input.value = text;
    this.answer(reply);
  }

  /**
   * Lay a dialog over this chat, and the focus into it; null takes it away.
   * @param {HTMLElement | null} dialog
   */
  lay(dialog) {
    const had = this.shade.contains(document.activeElement);
    this.shade.hidden = dialog === null;
    this.shade.replaceChildren(...(dialog ? [dialog] : []));
    this.log.inert = dialog !== null;
    const first = dialog?.querySelector("input, textarea, button");
    if (first instanceof HTMLElement) first.focus({ preventScroll: true });
    else if (had) this.log.focus({ preventScroll: true });
  }
}

/**
 * A name has the same colour everywhere.
 * @param {string} name
 */
export function avatar(name) {
  const hue = [...name].reduce((sum, letter) => (sum * 3 + letter.charCodeAt(0)) % 9973, 0) % 6;
  const kind = name === OURS ? "avatar ours" : `avatar hue-${hue}`;
  return h("span", { class: kind, "aria-hidden": "true" }, initials(name));
}
