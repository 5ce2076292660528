// @ts-check
import { h, one } from "./dom.js";
import { steadily } from "./steady.js";

/** The tasks, newest first, and the chosen one as its own page shows it. */
export class Tasks {
  constructor() {
    this.list = one(document, "#tasks");
    this.chosen = "";
    this.isPinned = false;
    this.shown = "";
    this.asking = false;
    this.askAgain = false;
    /** @type {any[]} */
    this.tasks = [];
    this.redraw = () => this.list.replaceChildren(...this.tasks.map((task) => this.row(task)));
    one(document, "#submit").addEventListener("submit", (event) => this.submit(event));
    one(document, "#task").addEventListener("submit", (event) => this.cancel(event));
  }

  /** Changes that come while one is being asked for are asked for together. */
  async update() {
    this.askAgain = this.asking;
    if (this.asking) return;
    this.asking = true;
    try {
      await this.ask();
    } finally {
      this.asking = false;
    }
    if (this.askAgain) await this.update();
  }

  async ask() {
    const answer = await fetch("/v1/tasks?limit=5", { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { tasks } = await answer.json();
    if (!this.isPinned && tasks.length) this.chosen = tasks[0].task_id;
    this.tasks = tasks;
    steadily(this.redraw);
    await this.show();
  }

  /** @param {any} task */
  row(task) {
    const status = task.status.replaceAll("_", " ");
    const current = task.task_id === this.chosen ? "true" : undefined;
    const choose = () => this.choose(task.task_id, true);
    return h(
      "li",
      {},
      h("button", { type: "button", class: "choose", "aria-current": current, onclick: choose }, task.title),
      h("span", { class: `badge ${task.status}` }, status),
    );
  }

  /**
   * @param {string} task
   * @param {boolean} pinned stay with it when newer ones come
   */
  async choose(task, pinned) {
    this.chosen = task;
    this.isPinned = pinned;
    await this.update();
  }

  /** A change of the same task is morphed in, which keeps focus and half-written reasons. */
  async show() {
    if (!this.chosen) return;
    const swap = this.shown === this.chosen ? "innerMorph" : "innerHTML";
    this.shown = this.chosen;
    // @ts-ignore htmx is a global of the vendored script
    await htmx.ajax("GET", `/tasks/${this.chosen}`, { target: "#task", select: "#live", swap });
  }

  /** @param {Event} event */
  async submit(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const answer = await post(form);
    if (!answer) return;
    form.reset();
    await this.choose(answer.task_id, false);
  }

  /**
   * Its own page would be left for another one.
   * @param {Event} event
   */
  async cancel(event) {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !form.classList.contains("cancel")) return;
    event.preventDefault();
    await post(form);
  }
}

/**
 * @param {HTMLFormElement} form
 * @returns {Promise<any>} null where it was refused, which is then said
 */
async function post(form) {
  const notice = one(document, "#notice");
  notice.textContent = "";
  try {
    // The form's own fields, encoded as the browser would.
    const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
    const answer = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" }, body });
    const said = await answer.json();
    if (answer.ok) return said;
    notice.textContent = said.detail;
  } catch {
    notice.textContent = "The demo does not answer. Is it still running?";
  }
  return null;
}
