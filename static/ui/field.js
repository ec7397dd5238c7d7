/** One argument of the schema as a labelled control that knows its default, its bounds and its fault. */

import { fill, h, icon, mark, write } from "./dom.js";
import { count, shown } from "../data/format.js";

/** @typedef {import("../data/catalog.js").Argument} Argument */
/**
 * @typedef {{label?: string, hint?: string, standard?: string, placeholder?: string}} Words
 *   `label` and `hint` instead of the schema's, `standard` for what the default is called
 */

/** The largest bound that is worth a word: a million epochs are no limit to anybody. */
const WORTH = 1_000;

export class Field {
  /** @param {string} name @param {Argument} argument @param {() => void} changed @param {Words} [said] */
  constructor(name, argument, changed, said = {}) {
    this.name = name;
    this.argument = argument;
    this._changed = changed;
    /** What the training had from which the form began, as JSON. @type {string|null} */
    this._source = null;
    const id = `field-${name}`;
    this.control = this._control(id, said);
    this.control.addEventListener("input", () => {
      this.fault("");
      this._compare();
      changed();
    });
    this.control.addEventListener("change", () => this.fault(this.check()));
    this._fault = h("p", { class: "fault", id: `${id}-fault`, hidden: true });
    this._before = h("p", { class: "hint before", hidden: true });
    const [meaning, bounds] = [said.hint ?? argument.description ?? "", boundsOf(argument)];
    const hint = bounds ? [meaning.replace(/\.$/, ""), bounds].filter(Boolean).join(" · ") : meaning;
    this.element = h(
      "div",
      { class: "field", data: { name } },
      h("label", { for: id }, said.label ?? h("code", {}, name)),
      this.control,
      hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null,
      this._before,
      this._fault,
    );
    if (hint) this.control.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
  }

  /** @returns {HTMLInputElement|HTMLSelectElement} */
  _control(/** @type {string} */ id, /** @type {Words} */ said) {
    const { argument } = this;
    const types = [argument.type ?? []].flat();
    const hasDefault = (argument.default ?? null) !== null;
    if (argument.enum || types.includes("boolean")) {
      const choices = argument.enum ?? [true, false, ...(types.includes("null") ? [null] : [])];
      const standard = said.standard ?? (hasDefault ? `default (${shown(argument.default)})` : "default");
      // Where nothing is the default, an empty text is another word for it.
      const isOwn = (/** @type {unknown} */ choice) => choice !== argument.default && (hasDefault || choice !== "");
      return h(
        "select",
        { id, name: this.name },
        h("option", { value: "" }, standard),
        ...choices
          .filter(isOwn)
          .map((choice) => h("option", { value: JSON.stringify(choice) }, choice === "" ? "(empty)" : shown(choice))),
      );
    }
    const isNumber = types.length > 0 && types.every((type) => ["integer", "number", "null"].includes(type));
    const isWhole = isNumber && !types.includes("number");
    return h("input", {
      id,
      name: this.name,
      type: "text",
      inputmode: isWhole ? "numeric" : isNumber ? "decimal" : null,
      placeholder: said.placeholder ?? (hasDefault ? shown(argument.default) : ""),
      autocomplete: "off",
      spellcheck: "false",
    });
  }

  /** What was entered: undefined for the default, else the value as JSON has it; a text that is no JSON is a text. @returns {unknown} */
  get value() {
    const text = this.control.value.trim();
    if (text === "") return undefined;
    if ([this.argument.type ?? []].flat().join() === "string") return text;
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }

  set value(/** @type {unknown} */ value) {
    const isDefault = (value ?? null) === null || JSON.stringify(value) === JSON.stringify(this.argument.default);
    if (isDefault) this.control.value = "";
    else if (this.control instanceof HTMLSelectElement) this.control.value = JSON.stringify(value);
    else this.control.value = typeof value === "string" ? value : JSON.stringify(value);
  }

  /** What is entered now is what a training had: a change is marked from here on. */
  begin() {
    this._source = JSON.stringify(this.value ?? null);
  }

  _compare() {
    const isChanged = this._source !== null && this._source !== JSON.stringify(this.value ?? null);
    this._before.hidden = !isChanged;
    if (isChanged)
      write(
        this._before,
        `changed; before: ${this._source === "null" ? "the default" : JSON.parse(this._source ?? "")}`,
      );
  }

  /** The entry as it was typed, to be kept. */
  get text() {
    return this.control.value;
  }

  set text(/** @type {string} */ text) {
    this.control.value = text;
    this._compare();
  }

  /** Whether the entry keeps the bounds that the schema names; the service has the last word. */
  check() {
    const { value, argument } = this;
    const types = [argument.type ?? []].flat();
    if (value === undefined || argument.enum) return "";
    if (types.length === 1 && types[0] === "integer" && !Number.isInteger(value)) return "must be a whole number";
    if (types.length === 1 && types[0] === "number" && typeof value !== "number") return "must be a number";
    if (typeof value === "number" && argument.minimum !== undefined && value < argument.minimum)
      return `must be at least ${argument.minimum}`;
    if (typeof value === "number" && argument.maximum !== undefined && value > argument.maximum)
      return `must be at most ${argument.maximum}`;
    return "";
  }

  get isWrong() {
    return !this._fault.hidden;
  }

  /** Show what is wrong with it, and what was probably meant; "" for nothing. */
  fault(/** @type {string} */ text, /** @type {string|undefined} */ suggestion = undefined) {
    this._fault.hidden = !text;
    mark(this.control, "aria-invalid", text ? "true" : null);
    if (!text) return write(this._fault, "");
    const take = h("button", { type: "button", class: "link" }, `use ${suggestion}`);
    take.addEventListener("click", () => {
      this.value = suggestion;
      this.control.dispatchEvent(new Event("input"));
      this.control.focus();
    });
    fill(this._fault, icon("alert"), h("span", {}, text), suggestion !== undefined && take);
  }
}

/** The bounds in words, where they tell something. */
function boundsOf(/** @type {Argument} */ { minimum, exclusiveMinimum, maximum }) {
  if (maximum === undefined || maximum > WORTH) return "";
  const isOpen = exclusiveMinimum !== undefined && !minimum;
  const low = isOpen ? `more than ${count(exclusiveMinimum)}` : minimum !== undefined ? count(minimum) : "";
  return low ? `${low} to ${count(maximum)}` : `at most ${count(maximum)}`;
}
