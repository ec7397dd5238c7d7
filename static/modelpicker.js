/** Choosing a model: task, family, size and whether to start from its weights; or any name or path by hand. */

import { models } from "./catalog.js";
import { h } from "./dom.js";
import { words } from "./format.js";

/** Families in the order in which they are offered; others follow by name. */
const FAMILIES = ["yolo26", "yolo12", "yolo11", "yolov10", "yolov9", "yolov8", "rtdetr"];
const SIZES = ["n", "t", "s", "m", "b", "c", "l", "e", "x"];
const DEFAULT = { task: "detect", family: "yolo11", size: "n" };

const place = (/** @type {string[]} */ order, /** @type {string} */ value) => (order.indexOf(value) + 1 || order.length + 1);

export class ModelPicker {
  /** @param {HTMLInputElement} input the field that has the name */
  constructor(input) {
    this._input = input;
    /** @type {any[]} */
    this._models = [];
    const select = (/** @type {string} */ label) => h("select", { "aria-label": label, onchange: () => this._choose() });
    this._task = select("Task");
    this._family = select("Family");
    this._size = select("Size");
    this._start = select("Start from");
    this._start.append(h("option", { value: "weights" }, "Pretrained weights"), h("option", { value: "config" }, "Random weights"));
    this._note = h("p", { class: "hint" });
    const pick = (/** @type {string} */ label, /** @type {HTMLElement} */ control) => h("label", { class: "pick" }, h("span", {}, label), control);
    this.element = h(
      "div",
      {},
      h("div", { class: "picks" }, pick("Task", this._task), pick("Family", this._family), pick("Size", this._size), pick("Start from", this._start)),
      this._note,
    );
    this.element.hidden = true;
  }

  /** Ask for the models; without an answer the field alone remains. */
  async load() {
    ({ models: this._models } = await models());
    this.element.hidden = false;
    options(this._task, [...new Set(this._models.map(({ task }) => task))], words);
    const named = this._models.find(({ name }) => [name, `${name}.pt`, `${name}.yaml`].includes(this._input.value));
    this._start.value = this._input.value.endsWith(".yaml") ? "config" : "weights";
    this._fill(named ?? DEFAULT);
    if (!this._input.value) this._choose();
    else this._say(named);
  }

  _fill(/** @type {{task: string, family: string, size: string}} */ { task, family, size }) {
    this._task.value = task;
    const families = [...new Set(this._models.filter((m) => m.task === task).map((m) => m.family))];
    options(this._family, families.sort((a, b) => place(FAMILIES, a) - place(FAMILIES, b) || a.localeCompare(b)), String, family);
    const sizes = this._models.filter((m) => m.task === task && m.family === this._family.value).map((m) => m.size);
    options(this._size, [...new Set(sizes)].sort((a, b) => place(SIZES, a) - place(SIZES, b)), (s) => s || "one size", size);
  }

  _choose() {
    this._fill({ task: this._task.value, family: this._family.value, size: this._size.value });
    const found = this._models.find(
      (m) => m.task === this._task.value && m.family === this._family.value && m.size === this._size.value,
    );
    if (!found) return;
    for (const option of this._start.options) option.disabled = !found[option.value];
    if (!found[this._start.value]) this._start.value = found.weights ? "weights" : "config";
    this._input.value = found.name + (this._start.value === "weights" ? ".pt" : ".yaml");
    this._input.dispatchEvent(new Event("input", { bubbles: true }));
    this._say(found);
  }

  _say(/** @type {any} */ found) {
    const isFetched = found && this._start.value === "weights" && !found.downloaded;
    this._note.textContent = isFetched ? "Its weights are not here yet: they are downloaded first." : "";
  }
}

/** @param {HTMLSelectElement} select @param {string[]} values @param {(value: string) => string} show @param {string} [wanted] */
function options(select, values, show, wanted = select.value) {
  select.replaceChildren(...values.map((value) => h("option", { value }, show(value))));
  if (values.includes(wanted)) select.value = wanted;
}
