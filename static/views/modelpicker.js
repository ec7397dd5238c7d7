/** Choosing a model: task, family, size and whether to start from its weights; or any name or path by hand. */

import { models } from "../data/catalog.js";
import { h, write } from "../ui/dom.js";
import { words } from "../data/format.js";

/** @typedef {import("../data/types.js").Model} Model */

/** Families in the order in which they are offered; others follow by name. */
const FAMILIES = ["yolo26", "yolo12", "yolo11", "yolov10", "yolov9", "yolov8", "rtdetr"];
const SIZES = ["n", "t", "s", "m", "b", "c", "l", "e", "x"];
/** Tasks that this service trains; Ultralytics has models for more. */
const TASKS = ["detect", "segment", "classify", "pose", "obb"];
const DEFAULT = { task: "detect", family: "yolo11", size: "n" };

const sizeOf = (/** @type {Model} */ { size }) => size ?? "";
/** Whether a training can start from its weights, or from its description. @param {Model} model @param {string} start */
const has = ({ weights, config }, start) => (start === "weights" ? weights : start === "config" && config);

const place = (/** @type {string[]} */ order, /** @type {string} */ value) =>
  order.indexOf(value) + 1 || order.length + 1;

export class ModelPicker {
  /** @param {HTMLInputElement} input the field that has the name @param {(task: string|null) => void} chosen told the model's task; null: not known */
  constructor(input, chosen) {
    this._input = input;
    this._chosen = chosen;
    /** @type {Model[]} */
    this._models = [];
    this._isOffline = false;
    /** What the pickers showed last, for those that are empty. */
    this._last = DEFAULT;
    const select = (/** @type {string} */ label) =>
      h("select", { "aria-label": label, onchange: () => this._choose() });
    this._task = select("Task");
    this._family = select("Family");
    this._size = select("Size");
    this._start = select("Start from");
    this._start.append(
      h("option", { value: "weights" }, "Pretrained weights"),
      h("option", { value: "config" }, "Random weights"),
    );
    this._note = h("p", { class: "hint", "aria-live": "polite" });
    const pick = (/** @type {string} */ label, /** @type {HTMLElement} */ control) =>
      h("label", { class: "pick" }, h("span", {}, label), control);
    this.element = h(
      "div",
      {},
      h(
        "div",
        { class: "picks" },
        pick("Task", this._task),
        pick("Family", this._family),
        pick("Size", this._size),
        pick("Start from", this._start),
      ),
      this._note,
    );
    this.element.hidden = true;
    input.addEventListener("input", () => this._follow());
  }

  /** Ask for the models; without an answer the field alone remains. */
  async load() {
    const { models: all, offline } = await models();
    this._models = all.filter(({ task }) => TASKS.includes(task));
    this._isOffline = offline;
    this.element.hidden = false;
    options(this._task, TASKS, words);
    this._fill(DEFAULT);
    if (this._input.value) return this._follow();
    const isHere = this._models.find(({ name }) => name === "yolo11n")?.downloaded;
    this._start.value = this._isOffline && !isHere ? "config" : "weights"; // what can work
    this._choose();
  }

  /** Show in the pickers what was typed; a path, or a name that none of them has, leaves them empty. */
  _follow() {
    const [, name, suffix] = /^(.*?)(\.pt|\.ya?ml|)$/.exec(this._input.value.trim()) ?? ["", "", ""];
    const found = this._models.find((model) => model.name === name);
    if (found) this._fill(found);
    if (found && suffix) this._start.value = suffix === ".pt" ? "weights" : "config";
    if (!found) for (const select of [this._task, this._family, this._size, this._start]) select.value = "";
    this._say(found);
  }

  _fill(/** @type {Pick<Model, "task"|"family"|"size">} */ { task, family, size }) {
    this._last = { task, family, size: size ?? "" };
    this._task.value = task;
    const families = [...new Set(this._models.filter((m) => m.task === task).map((m) => m.family))];
    options(
      this._family,
      families.sort((a, b) => place(FAMILIES, a) - place(FAMILIES, b) || a.localeCompare(b)),
      String,
      family,
    );
    const sizes = this._models.filter((m) => m.task === task && m.family === this._family.value).map(sizeOf);
    options(
      this._size,
      [...new Set(sizes)].sort((a, b) => place(SIZES, a) - place(SIZES, b)),
      (s) => s || "one size",
      size ?? "",
    );
  }

  _choose() {
    const { task, family, size } = this._last;
    this._fill({
      task: this._task.value || task,
      family: this._family.value || family,
      size: this._size.value || size,
    });
    const found = this._models.find(
      (m) => m.task === this._task.value && m.family === this._family.value && sizeOf(m) === this._size.value,
    );
    if (!found) return;
    for (const option of this._start.options) option.disabled = !has(found, option.value);
    if (!has(found, this._start.value))
      this._start.value = found.weights && this._start.value !== "config" ? "weights" : "config";
    this._input.value = found.name + (this._start.value === "weights" ? ".pt" : ".yaml");
    this._input.dispatchEvent(new Event("input", { bubbles: true }));
  }

  _say(/** @type {Model|undefined} */ found) {
    const isFetched = found && this._start.value === "weights" && !found.downloaded;
    const missing = this._isOffline
      ? "Its weights are not here, and the service is offline: choose random weights."
      : "Its weights are not here yet: they are downloaded first. Without a way to the internet, choose random weights.";
    write(this._note, isFetched ? missing : "");
    this._chosen(found?.task ?? null);
  }
}

/** @param {HTMLSelectElement} select @param {string[]} values @param {(value: string) => string} show @param {string} [wanted] */
function options(select, values, show, wanted = select.value) {
  select.replaceChildren(...values.map((value) => h("option", { value }, show(value))));
  if (values.includes(wanted)) select.value = wanted;
}
