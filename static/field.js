/** One argument of the schema as a labelled control that knows its default, its bounds and its fault. */

import { fill, h, icon, mark, write } from "./dom.js";
import { count, words } from "./format.js";
import { shown } from "./arguments.js";

/** @typedef {import("./catalog.js").Argument} Argument */

export class Field {
  /** @param {string} name @param {Argument} argument @param {() => void} changed @param {string} [label] */
  constructor(name, argument, changed, label) {
    this.name = name;
    this.argument = argument;
    this._changed = changed;
    const id = `field-${name}`;
    this.control = this._control(id);
    this.control.addEventListener("input", () => {
      this.fault("");
      changed();
    });
    this._fault = h("p", { class: "fault", id: `${id}-fault`, hidden: true });
    const [meaning, bounds] = [argument.description ?? "", boundsOf(argument)];
    const hint = bounds ? [meaning.replace(/\.$/, ""), bounds].filter(Boolean).join(" · ") : meaning;
    this.element = h(
      "div",
      { class: "field", data: { name } },
      h("label", { for: id }, label ?? words(name), label || words(name) === name ? null : h("code", {}, name)),
      this.control,
      hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null,
      this._fault,
    );
    if (hint) this.control.setAttribute("aria-describedby", `${id}-hint ${id}-fault`);
  }

  /** @returns {HTMLInputElement|HTMLSelectElement} */
  _control(/** @type {string} */ id) {
    const { argument } = this;
    const types = [argument.type ?? []].flat();
    const isSwitch = types.includes("boolean");
    if (argument.enum || isSwitch) {
      const choices = argument.enum ?? [true, false, ...(types.includes("null") ? [null] : [])];
      const select = h("select", { id, name: this.name });
      const standard = (argument.default ?? null) === null ? "default" : `default (${shown(argument.default)})`;
      select.append(h("option", { value: "" }, standard));
      for (const choice of choices) if (choice !== argument.default) select.append(h("option", { value: JSON.stringify(choice) }, choice === "" ? "(empty)" : shown(choice)));
      return select;
    }
    const isNumber = types.length > 0 && types.every((type) => ["integer", "number", "null"].includes(type));
    const isWhole = isNumber && !types.includes("number");
    return h("input", {
      id,
      name: this.name,
      type: "text",
      inputmode: isWhole ? "numeric" : isNumber ? "decimal" : null,
      placeholder: (argument.default ?? null) === null ? "" : shown(argument.default),
      autocomplete: "off",
      spellcheck: "false",
    });
  }

  /** What was entered: undefined for the default, else the value as JSON has it; a text that is no JSON is a text. */
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

  set value(/** @type {any} */ value) {
    const isDefault = (value ?? null) === null || JSON.stringify(value) === JSON.stringify(this.argument.default);
    if (isDefault) this.control.value = "";
    else if (this.control instanceof HTMLSelectElement) this.control.value = JSON.stringify(value);
    else this.control.value = typeof value === "string" ? value : JSON.stringify(value);
  }

  /** Whether the entry keeps the bounds that the schema names; the service has the last word. */
  check() {
    const { value, argument } = this;
    const types = [argument.type ?? []].flat();
    if (value === undefined || argument.enum) return "";
    if (types.length === 1 && types[0] === "integer" && !Number.isInteger(value)) return "must be a whole number";
    if (types.length === 1 && types[0] === "number" && typeof value !== "number") return "must be a number";
    if (typeof value === "number" && argument.minimum !== undefined && value < argument.minimum) return `must be at least ${argument.minimum}`;
    if (typeof value === "number" && argument.maximum !== undefined && value > argument.maximum) return `must be at most ${argument.maximum}`;
    return "";
  }

  /** Show what is wrong with it, and what was probably meant; "" for nothing. */
  fault(/** @type {string} */ text, /** @type {string|undefined} */ suggestion = undefined) {
    this._fault.hidden = !text;
    mark(this.control, "aria-invalid", text ? "true" : null);
    if (!text) return write(this._fault, "");
    const take = h("button", { type: "button", class: "link" }, `use ${suggestion}`);
    take.addEventListener("click", () => {
      this.value = suggestion;
      this.fault("");
      this._changed();
      this.control.focus();
    });
    fill(this._fault, icon("alert"), h("span", {}, text), suggestion !== undefined && take);
  }
}

function boundsOf(/** @type {Argument} */ { minimum, exclusiveMinimum, maximum }) {
  const isOpen = exclusiveMinimum !== undefined && !minimum;
  const low = isOpen ? `more than ${count(exclusiveMinimum)}` : minimum !== undefined ? count(minimum) : "";
  if (low && maximum !== undefined) return `${low} to ${count(maximum)}`;
  return low ? (isOpen ? low : `at least ${low}`) : maximum !== undefined ? `at most ${count(maximum)}` : "";
}
