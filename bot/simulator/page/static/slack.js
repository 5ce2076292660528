// @ts-check
import { drawn, marked } from "./blocks.js";
import { avatar, Chat, OURS } from "./chat.js";
import { attachment, clock, h, leadInside } from "./dom.js";
import { reveal, show } from "./log.js";
import { steadily } from "./steady.js";

/** The simulated Slack: one channel, seen by one of its people. */
export class Slack {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.chat = new Chat(section, {
      act: "slack",
      changed: () => this.draw(),
      send: (text, thread) => this.say(text, thread),
    });
    leadInside((address) => this.place(address));
    /** @type {any} */
    this.seen = null;
    this.dialog = "";
    this.redraw = () => this.draw();
  }

  /**
   * What opens the message that a link of this Slack's means.
   * @param {string} address
   */
  place(address) {
    const [, channel, ts] = /^https:\/\/simulated\.slack\.example\/archives\/(\w+)\/p(\d+)(?:\?|$)/.exec(address) || [];
    if (!this.seen || channel !== this.channel().id) return null;
    return () => reveal(this.chat.log, `${ts.slice(0, -6)}.${ts.slice(-6)}`);
  }

  /** @param {any} snapshot */
  update(snapshot) {
    this.seen = snapshot;
    const people = snapshot.users.map((/** @type {any} */ user) => ({ id: user.id, name: user.real_name }));
    this.chat.named(`#${this.channel().name}`);
    this.chat.people(people);
    steadily(this.redraw);
  }

  channel() {
    return this.seen.channels.find((/** @type {any} */ channel) => !channel.is_im);
  }

  draw() {
    if (!this.seen) return;
    show(this.chat.log, this.entries());
    this.drawDialog();
  }

  /** @returns {import("./log.js").Entry[]} threads are open, each below its first message */
  entries() {
    const channel = this.channel();
    const mine = channel.ephemerals.filter((/** @type {any} */ one) => one.only_for === this.chat.me);
    const inThread = new Set();
    const entries = channel.messages.flatMap((/** @type {any} */ root) => {
      const own = mine.filter((/** @type {any} */ one) => one.thread_ts === root.ts);
      own.forEach((/** @type {any} */ one) => inThread.add(one.ts));
      return [this.entry(root, false), ...inOrder([...root.replies, ...own]).map((one) => this.entry(one, true))];
    });
    const loose = mine.filter((/** @type {any} */ one) => !inThread.has(one.ts));
    return [...entries, ...loose.map((/** @type {any} */ one) => this.entry(one, Boolean(one.thread_ts)))];
  }

  /**
   * @param {any} message
   * @param {boolean} isReply
   */
  entry(message, isReply) {
    const { replies, reply_count, ...own } = message;
    return { key: message.ts, mark: JSON.stringify([own, isReply]), make: () => this.message(message, isReply) };
  }

  /**
   * @param {any} message
   * @param {boolean} isReply
   */
  message(message, isReply) {
    const author = this.author(message);
    const isPrivate = Boolean(message.only_for);
    const kind = ["message", isReply && "reply", isPrivate && "private"].filter(Boolean).join(" ");
    return h(
      "article",
      { class: kind, "aria-label": `${author.name}${isPrivate ? ", only visible to you" : ""}` },
      avatar(author.name),
      h(
        "div",
        { class: "said" },
        isPrivate && h("p", { class: "only" }, "Only visible to you"),
        h("p", { class: "from" }, h("strong", {}, author.name), author.isApp && h("span", { class: "app" }, "App"), clock(Number(message.ts)), this.replier(message, isReply)),
        ...this.content(message),
      ),
    );
  }

  /** @param {any} message */
  content(message) {
    const files = (message.files || []).map((/** @type {any} */ file) =>
      attachment(`/demo/slack/files/${encodeURIComponent(file.id)}`, file.name, file.size),
    );
    if (!message.blocks?.length)
      return [...this.named([h("p", { class: "text" }, ...marked(message.text))]), ...files];
    return this.named(drawn(message.blocks, (element, option) => this.press(message, element, option)));
  }

  /**
   * People are called by their ids, and shown by their names.
   * @param {HTMLElement[]} elements
   */
  named(elements) {
    for (const called of elements.flatMap((one) => [...one.querySelectorAll("[data-user]")])) {
      const id = called.getAttribute("data-user");
      const user = [...this.seen.users, this.seen.bot].find((/** @type {any} */ one) => one.id === id);
      if (user) called.textContent = `@${user.real_name}`;
    }
    return elements;
  }

  /** @param {any} message */
  author(message) {
    const user = this.seen.users.find((/** @type {any} */ one) => one.id === message.user);
    return user ? { name: user.real_name, isApp: false } : { name: OURS, isApp: true };
  }

  /**
   * @param {any} message
   * @param {boolean} isReply
   */
  replier(message, isReply) {
    if (isReply || message.only_for) return null;
    const answer = () => {
      this.chat.answer({ key: message.ts, words: "Reply in the thread", placeholder: "Reply" });
      this.chat.input.focus();
    };
    return h("button", { type: "button", class: "answer", onclick: answer }, "Reply");
  }

  /**
   * @param {any} message
   * @param {any} element
   * @param {string} [option]
   */
  async press(message, element, option) {
    const channel = this.channel().id;
    const body = { user: this.chat.me, channel, ts: message.ts, action: element.action_id, option };
    const answer = await this.chat.act("press", body);
    if (answer && !answer.ok) this.chat.note("The app did not answer in time.");
  }

  /**
   * @param {string} text
   * @param {string | null} thread
   */
  async say(text, thread) {
    const body = { user: this.chat.me, channel: this.channel().id, text, thread };
    const answer = await this.chat.act("say", body);
    if (answer && !answer.ok) this.chat.note("The app does not know this command.");
    return answer;
  }

  drawDialog() {
    const mine = this.seen.views.filter((/** @type {any} */ view) => view.user === this.chat.me);
    const view = mine.at(-1) || null;
    const shown = view ? JSON.stringify([view.id, view.hash, view.errors]) : "";
    if (shown === this.dialog) return;
    const typed = this.dialog && view ? values(this.chat.shade) : {};
    this.dialog = shown;
    this.chat.lay(view && this.modal(view, typed));
  }

  /**
   * @param {any} view
   * @param {Record<string, string>} typed
   */
  modal(view, typed) {
    const titled = `view-${view.id}`;
    const close = () => this.chat.act("close", { user: this.chat.me, view: view.id });
    const form = h(
      "form",
      { class: "modal", role: "dialog", "aria-labelledby": titled },
      h("h3", { id: titled }, view.title.text),
      ...drawn(view.blocks, () => {}),
      ...Object.values(view.errors).map((words) => h("p", { class: "error", role: "alert" }, String(words))),
      h(
        "div",
        { class: "b-actions" },
        h("button", { type: "button", class: "b-button", onclick: close }, view.close?.text || "Cancel"),
        view.submit && h("button", { class: "b-button primary" }, view.submit.text),
      ),
    );
    for (const [block, text] of Object.entries(typed)) fill(form, block, text);
    form.addEventListener("keydown", (event) => event.key === "Escape" && close());
    form.addEventListener("submit", (event) => this.submit(event, view, form));
    return form;
  }

  /**
   * @param {Event} event
   * @param {any} view
   * @param {HTMLElement} form
   */
  async submit(event, view, form) {
    event.preventDefault();
    await this.chat.act("submit", { user: this.chat.me, view: view.id, values: values(form) });
  }
}

/** @param {any[]} messages */
function inOrder(messages) {
  return messages.sort((one, other) => Number(one.ts) - Number(other.ts));
}

/**
 * What was typed, by block_id.
 * @param {HTMLElement} form
 * @returns {Record<string, string>}
 */
function values(form) {
  const fields = /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("input, textarea"));
  return Object.fromEntries([...fields].map((field) => [field.name, field.value]));
}

/**
 * @param {HTMLElement} form
 * @param {string} block
 * @param {string} text
 */
function fill(form, block, text) {
  const field = form.querySelector(`[name="${CSS.escape(block)}"]`);
  if (field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement) field.value = text;
}
