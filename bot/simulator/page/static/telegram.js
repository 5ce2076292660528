// @ts-check
import { avatar, Chat, OURS } from "./chat.js";
import { attachment, clock, h, leadInside, link, one } from "./dom.js";
import { drawn } from "./entities.js";
import { reveal, show } from "./log.js";
import { Rooms } from "./rooms.js";
import { steadily } from "./steady.js";

/** Ids of supergroups lie below it; links to their messages hold what is left without it. */
const SUPERGROUPS = -1_000_000_000_000;

/** Where nobody has said anything. */
const EMPTY = {
  key: "empty",
  mark: "",
  make: () => h("p", { class: "empty" }, "Only you and the bot read this chat. Telegram lets it write here once you press Start."),
};

/** The simulated Telegram: one group, and one person's private chat with the bot. */
export class Telegram {
  /** @param {HTMLElement} section */
  constructor(section) {
    this.chat = new Chat(section, {
      act: "telegram",
      changed: () => this.draw(),
      send: (text, reply) => this.say(text, reply),
    });
    this.rooms = new Rooms(one(section, ".rooms"), (id) => this.enter(id));
    this.isPrivate = false;
    this.start = one(section, ".start");
    this.start.addEventListener("click", () => this.say("/start", null));
    leadInside((address) => this.place(address));
    /** @type {any} */
    this.seen = null;
    /** Prompts that were taken up or dropped, each person's own. */
    this.asked = new Set();
    this.redraw = () => this.draw();
  }

  /** @param {any} picture */
  update(picture) {
    this.seen = picture;
    const people = picture.users.map((/** @type {any} */ user) => ({ id: String(user.id), name: user.first_name }));
    this.chat.people(people);
    steadily(this.redraw);
  }

  group() {
    return this.seen.chats.find((/** @type {any} */ chat) => chat.kind !== "private");
  }

  /** Whoever one is now: their chat with the bot. Its id is theirs. */
  own() {
    return this.seen.chats.find((/** @type {any} */ chat) => String(chat.id) === this.chat.me);
  }

  /** What is open. */
  here() {
    return this.isPrivate ? this.own() : this.group();
  }

  draw() {
    if (!this.seen) return;
    const here = this.here();
    this.chat.named(this.isPrivate ? OURS : here.title);
    this.rooms.show(here.id, [called(this.group(), this.group().title), called(this.own(), OURS)], this.chat.log);
    this.start.hidden = here.bot !== "unstarted";
    this.chat.composer.hidden = !this.start.hidden;
    const entries = here.messages.map((/** @type {any} */ message) => this.entry(here, message));
    show(this.chat.log, entries.length ? entries : [EMPTY]);
    this.takeUpPrompt();
  }

  /** @param {number} id of a chat */
  enter(id) {
    this.isPrivate = id !== this.group().id;
    this.chat.answer(null);
    this.draw();
  }

  /**
   * What opens the place in this Telegram that a link means.
   * @param {string} address
   */
  place(address) {
    const [, where, message] = /^https:\/\/t\.me\/(c\/\d+|\w+)(?:\/(\d+))?(?:[?#].*)?$/i.exec(address) || [];
    if (!where || !this.seen) return null;
    if (where.toLowerCase() === this.seen.bot.username.toLowerCase()) return () => this.openOwn();
    if (where !== `c/${SUPERGROUPS - this.group().id}`) return null;
    return () => {
      this.enter(this.group().id);
      reveal(this.chat.log, message);
    };
  }

  /** With the focus on what one does there first. */
  openOwn() {
    this.enter(this.own().id);
    (this.start.hidden ? this.chat.input : this.start).focus({ preventScroll: true });
  }

  /**
   * @param {any} here
   * @param {any} message
   */
  entry(here, message) {
    const answered = here.messages.find((/** @type {any} */ one) => one.id === message.reply_to);
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
      const key = `${prompt.user}/${prompt.chat}/${prompt.message}`;
      const here = this.here();
      const message = here.messages.find((/** @type {any} */ one) => one.id === prompt.message);
      if (prompt.chat !== here.id) continue;
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
    const body = { user: Number(this.chat.me), chat: this.here().id, message: message.id, label };
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
    return this.chat.act("say", { user: Number(this.chat.me), chat: this.here().id, text, reply_to });
  }
}

/**
 * @param {any} chat
 * @param {string} title
 * @returns {import("./rooms.js").Room}
 */
function called(chat, title) {
  return { id: chat.id, title, latest: chat.messages.at(-1)?.id || 0 };
}

/** @param {any} message */
function summary(message) {
  const line = message.text.split("\n", 1)[0];
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
