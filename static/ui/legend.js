/** What the lines of a chart are: their colours, names and values; each a button that hides its line. */

import { h, write } from "./dom.js";
import { COLOURS } from "./palette.js";

/** @typedef {import("./charts.js").Line} Line */

export class Legend {
  /** Names of lines that were switched off. @type {Set<string>} */
  hidden = new Set();
  element = h("ul", { class: "legend" });
  /** @type {HTMLElement[]} */
  #values = [];
  #changed;

  /** @param {() => void} changed called when a line was switched on or off */
  constructor(changed) {
    this.#changed = changed;
  }

  show(/** @type {Line[]} */ lines) {
    this.#values = lines.map(() => h("b"));
    this.element.replaceChildren(...lines.map((line, place) => h("li", {}, this.#item(line, this.#values[place]))));
  }

  /** Write a line's value. */
  say(/** @type {number} */ place, /** @type {string} */ text) {
    if (this.#values[place]) write(this.#values[place], text);
  }

  #item(/** @type {Line} */ line, /** @type {HTMLElement} */ value) {
    return h(
      "button",
      {
        type: "button",
        class: "legend-item",
        "aria-pressed": String(!this.hidden.has(line.name)),
        onclick: () => this.#toggle(line.name),
      },
      h("i", { class: `swatch line-${line.colour % COLOURS} ${line.dash ? "dashed" : ""}` }),
      h("span", {}, line.name),
      value,
    );
  }

  #toggle(/** @type {string} */ name) {
    if (!this.hidden.delete(name)) this.hidden.add(name);
    this.#changed();
    // The chart was made anew, and with it this button.
    const buttons = [...this.element.querySelectorAll("button")];
    buttons.find((button) => button.querySelector("span")?.textContent === name)?.focus();
  }
}
