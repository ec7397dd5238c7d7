/** The line to the service, in words. One badge at the top of the page. */

import { h, mark, write } from "../ui/dom.js";

/** @typedef {import("./connection.js").Connection} Connection */

export class Badge {
  constructor(/** @type {Connection} */ connection) {
    this._connection = connection;
    /** What the view says of itself when the line is live: `ended`, `loading`. @type {{state: string, text: string}|null} */
    this._view = null;
    this._text = h("span", { class: "badge-text" });
    this._now = h(
      "button",
      { type: "button", class: "link", hidden: true, onclick: () => connection.poke() },
      "Try now",
    );
    this._badge = h(
      "span",
      { class: "badge", title: "" },
      h("i", { class: "badge-dot", "aria-hidden": "true" }),
      this._text,
    );
    this.element = h("div", { class: "badge-box" }, this._badge, this._now);
    connection.on("link", () => this.draw());
    setInterval(() => this.draw(), 500);
    this.draw();
  }

  /** What the view adds while the line is live. */
  show(/** @type {{state: string, text: string}|null} */ view) {
    this._view = view;
    this.draw();
  }

  draw() {
    const { link } = this._connection;
    const { state, text, why = "" } = this._words(link);
    mark(this._badge, "data-state", state);
    mark(this._badge, "title", why);
    write(this._text, text);
    this._now.hidden = link.state !== "gone" && link.state !== "reconnecting";
  }

  /** @param {import("../data/types.js").Link} link @returns {{state: string, text: string, why?: string}} */
  _words(link) {
    if (link.state === "connecting") return { state: "connecting", text: "Connecting" };
    if (link.state === "live") return this._view ?? { state: "live", text: "Live" };
    const seconds = Math.max(0, Math.ceil(((link.until ?? 0) - Date.now()) / 1000));
    const when = seconds ? `in ${seconds} s` : "now";
    if (link.state === "gone") return { state: "gone", text: `Server gone, trying again ${when}`, why: link.why };
    return { state: "reconnecting", text: `Reconnecting ${when}`, why: link.why };
  }
}
