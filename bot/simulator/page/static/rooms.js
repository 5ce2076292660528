// @ts-check
import { h } from "./dom.js";

/** @typedef {{id: number, title: string, latest: number}} Room `latest`: the number of its last message */

/** The chats among which one chooses; one that is not open says when something new stands in it. */
export class Rooms {
  /**
   * @param {HTMLElement} place
   * @param {(id: number) => void} enter
   */
  constructor(place, enter) {
    this.place = place;
    this.enter = enter;
    this.open = 0;
    this.drawn = "";
    /** The last message that was seen, by chat. What the group begins with is nothing new. */
    this.seen = /** @type {Map<number, number>} */ (new Map());
  }

  /**
   * @param {number} open
   * @param {Room[]} rooms
   * @param {HTMLElement} log emptied where it shows another chat than before
   */
  show(open, rooms, log) {
    if (open !== this.open) log.replaceChildren();
    this.open = open;
    for (const room of rooms) if (room.id === open) this.seen.set(room.id, room.latest);
    const shown = rooms.map((room) => ({ ...room, isNew: room.latest > (this.seen.get(room.id) || 0) }));
    const drawn = JSON.stringify([open, shown.map((room) => [room.id, room.isNew])]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const had = this.place.contains(document.activeElement);
    this.place.replaceChildren(...shown.map((room) => this.button(room)));
    if (had) /** @type {HTMLElement | null} */ (this.place.querySelector("[aria-current]"))?.focus();
  }

  /** @param {Room & {isNew: boolean}} room */
  button(room) {
    const properties = {
      type: "button",
      class: room.isNew ? "room new" : "room",
      "aria-current": room.id === this.open ? "true" : null,
      "aria-label": room.isNew ? `${room.title}, new messages` : null,
      onclick: () => this.enter(room.id),
    };
    return h("button", properties, room.title);
  }
}
