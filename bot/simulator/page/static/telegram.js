// @ts-check
import { avatar, Chat, OURS } from "./chat.js";
import { attachment, clock, h, link } from "./dom.js";
import { drawn } from "./entities.js";
import { show } from "./log.js";

/** The simulated Telegram: one group, seen by one of its people. */
export class Telegram {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.chat = new Chat(section, {
      act: "telegram",
      changed: () => this.draw(),
      send: (text, reply) => this.say(text, reply),
    });
    /** @type {any} */
    this.seen = null;
    /** Prompts that were taken up or dropped, each person's own. */
    this.asked = new Set();
  }

  /** @param {any} picture */
  update(picture) {
    this.seen = picture;
    const people = picture.users.map((/** @type {any} */ user) => ({ id: String(user.id), name: user.first_name }));
    this.chat.named(this.group().title);
    this.chat.people(people);
    this.draw();
  }

  group() {
    return this.seen.chats.find((/** @type {any} */ chat) => chat.kind !== "private");
  }

  draw() {
    if (!this.seen) return;
    const group = this.group();
    show(this.chat.log, group.messages.map((/** @type {any} */ message) => this.entry(group, message)));
    this.takeUpPrompt();
  }

  /**
   * @param {any} group
   * @param {any} message
   */
  entry(group, message) {
    const answered = group.messages.find((/** @type {any} */ one) => one.id === message.reply_to);
    const isMine = String(message.from?.id) === this.chat.me;
    const mark = JSON.stringify([message, isMine, answered ? summary(answered) : ""]);
    return { key: String(message.id), mark, make: () => this.message(message, isMine, answered) };
  }

  /**
   * @param {any} message
   * @param {boolean} isMine
   * @param {any} answered
   */
  message(message, isMine, answered) {
    const name = message.is_ours ? OURS : message.from.first_name;
    const kind = ["message", isMine && "mine", message.is_ours && "bot"].filter(Boolean).join(" ");
    return h(
      "article",
      { class: kind, "aria-label": name },
      isMine ? null : avatar(name),
      h(
        "div",
        { class: "said" },
        h(
          "div",
          { class: "bubble" },
          h("p", { class: "from" }, h("strong", {}, name), this.replier(message)),
          answered && h("p", { class: "quoted" }, summary(answered)),
          h("div", { class: "text" }, ...drawn(message.text, message.entities)),
          message.document && this.file(message.document),
          h("p", { class: "meta" }, message.edited ? "edited " : "", clock(message.date)),
        ),
        this.keyboard(message),
      ),
    );
  }

  /** @param {any} file */
  file(file) {
    const address = `/demo/telegram/files/${encodeURIComponent(file.file_id)}`;
    return attachment(address, file.file_name, file.file_size);
  }

  /** @param {any} message */
  keyboard(message) {
    if (!message.keyboard.length) return null;
    const rows = message.keyboard.map((/** @type {any[]} */ row) =>
      h("div", { class: "row" }, ...row.map((button) => this.button(message, button))),
    );
    return h("div", { class: "keyboard" }, ...rows);
  }

  /**
   * @param {any} message
   * @param {any} button
   */
  button(message, button) {
    if (button.url) return link(button.url, button.text);
    const press = () => this.press(message, button.text);
    return h("button", { type: "button", class: "key", onclick: press }, button.text);
  }

  /** @param {any} message */
  replier(message) {
    const answer = () => this.replyTo(message, {});
    return h("button", { type: "button", class: "answer", onclick: answer }, "Reply");
  }

  /**
   * @param {any} message
   * @param {{placeholder?: string}} prompt
   */
  replyTo(message, prompt) {
    this.chat.answer({ key: String(message.id), words: `Reply to: ${summary(message)}`, ...prompt });
    if (this.chat.isAttended()) this.chat.input.focus({ preventScroll: true });
  }

  /** As Telegram's clients do where a bot asks for a reply. */
  takeUpPrompt() {
    for (const prompt of this.seen.prompts) {
      const key = `${prompt.user}/${prompt.message}`;
      const message = this.group().messages.find((/** @type {any} */ one) => one.id === prompt.message);
      if (String(prompt.user) !== this.chat.me || this.asked.has(key) || !message) continue;
      this.asked.add(key);
      this.replyTo(message, { placeholder: prompt.placeholder || undefined });
    }
  }

  /**
   * @param {any} message
   * @param {string} label
   */
  async press(message, label) {
    const body = { user: Number(this.chat.me), chat: this.group().id, message: message.id, label };
    const answer = await this.chat.act("press", body);
    if (answer?.alert && answer.text) this.alert(answer.text);
    else if (answer?.text) this.chat.note(answer.text);
    else if (answer && !answer.ok) this.chat.note("The bot did not answer in time.");
  }

  /** @param {string} words */
  alert(words) {
    const close = () => this.chat.lay(null);
    const box = h(
      "div",
      { class: "modal alert", role: "alertdialog", "aria-label": "Only you see this" },
      h("p", {}, words),
      h("button", { type: "button", class: "key", onclick: close }, "OK"),
    );
    box.addEventListener("keydown", (event) => event.key === "Escape" && close());
    this.chat.lay(box);
  }

  /**
   * @param {string} text
   * @param {string | null} reply
   */
  async say(text, reply) {
    const reply_to = reply === null ? null : Number(reply);
    return this.chat.act("say", { user: Number(this.chat.me), chat: this.group().id, text, reply_to });
  }
}

/** @param {any} message */
function summary(message) {
  const line = message.text.split("\n", 1)[0];
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
