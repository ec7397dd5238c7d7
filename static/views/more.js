/** Ultralytics' many arguments: by purpose, those of the chosen task only, to be searched. What is set stands on top. */

import { h, icon, write } from "../ui/dom.js";
import { plural } from "../data/format.js";

/** @typedef {import("../ui/field.js").Field} Field */
/** @typedef {{title: string, names: string, tasks?: string[]}} Purpose */

const BOXES = ["detect", "segment", "pose", "obb"];
/** What arguments are for. `tasks`: for these only. @type {Purpose[]} */
const PURPOSES = [
  { title: "Length and saving", names: "time save save_period" },
  {
    title: "Optimizer and learning rate",
    names: "lrf cos_lr momentum weight_decay warmup_epochs warmup_momentum warmup_bias_lr nbs",
  },
  {
    title: "Augmentation",
    names:
      "hsv_h hsv_s hsv_v degrees translate scale shear perspective flipud fliplr bgr mosaic close_mosaic mixup cutmix multi_scale",
  },
  { title: "Start", names: "pretrained cls_remap freeze seed deterministic" },
  { title: "Data", names: "classes single_cls fraction rect cache workers" },
  { title: "Speed and memory", names: "amp compile channels_last quantize" },
  { title: "Losses", names: "box cls cls_pw dfl", tasks: BOXES },
  { title: "Segmentation", names: "overlap_mask mask_ratio", tasks: ["segment"] },
  { title: "Copy and paste", names: "copy_paste copy_paste_mode", tasks: ["segment", "semantic", "obb"] },
  { title: "Keypoints", names: "pose kobj rle", tasks: ["pose"] },
  { title: "Oriented boxes", names: "angle", tasks: ["obb"] },
  { title: "Classification", names: "dropout auto_augment erasing", tasks: ["classify"] },
  { title: "Depth", names: "dlog dgrad dlam", tasks: ["depth"] },
  { title: "Validation", names: "val split conf iou max_det plots save_json" },
  { title: "Reporting", names: "tick_interval verbose" },
];
/** Arguments that have nothing to do with training: they are found by searching only. */
const ASIDE =
  /predict|export|validation only|video|OpenCV DNN|inference|window|^draw |bounding boxes|TensorRT|ONNX|DEEPX|target format|save .*\.txt|cropped|NMS|distill/i;

export class MoreArguments {
  /** @param {Field[]} fields @param {string} setTitle what stands over those that are set already */
  constructor(fields, setTitle) {
    /** The task of the chosen model; null: not known, so all are shown. @type {string|null} */
    this._task = null;
    this._search = h("input", {
      type: "search",
      class: "search",
      placeholder: "Search by name or meaning",
      "aria-label": "Search arguments",
      data: { search: "" },
    });
    this._size = h("span", { class: "quiet", "aria-live": "polite" });
    this._search.addEventListener("input", () => this._draw());
    this._search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
    const set = fields.filter((field) => field.value !== undefined);
    const rest = new Set(fields.filter((field) => field.value === undefined));
    const take = (/** @type {(field: Field) => boolean} */ fits) =>
      [...rest].filter((field) => fits(field) && rest.delete(field));
    this._groups = [
      new Group(setTitle, set, { isOpen: true }),
      ...PURPOSES.map(
        ({ title, names, tasks }) =>
          new Group(
            title,
            take(({ name }) => names.split(" ").includes(name)),
            { tasks },
          ),
      ),
      new Group(
        "Of other commands",
        take(({ argument }) => ASIDE.test(argument.description ?? "")),
        { isAside: true },
      ),
      new Group("Other", [...rest], {}),
    ];
    this.element = h(
      "details",
      { class: "card more-arguments", open: set.length > 0 },
      h("summary", {}, "More arguments"),
      h("div", { class: "controls" }, h("span", { class: "search-box" }, icon("search"), this._search), this._size),
      ...this._groups.map(({ element }) => element),
    );
    this._draw();
  }

  /** Show the arguments of this task. */
  show(/** @type {string|null} */ task) {
    if (task === this._task) return;
    this._task = task;
    this._draw();
  }

  /** Bring a field into sight. */
  open(/** @type {Field} */ field) {
    const group = this._groups.find(({ fields }) => fields.includes(field));
    if (!group) return;
    this.element.open = group.element.open = true;
    group.element.hidden = field.element.hidden = false;
  }

  _draw() {
    const wanted = this._search.value.trim().toLowerCase();
    const shown = this._groups.reduce((sum, group) => sum + group.show(wanted, this._task), 0);
    write(this._size, plural(shown, "argument"));
  }
}

class Group {
  /** @param {string} title @param {Field[]} fields @param {{tasks?: string[], isAside?: boolean, isOpen?: boolean}} kind */
  constructor(title, fields, { tasks, isAside = false, isOpen = false }) {
    this.fields = fields;
    this._tasks = tasks;
    this._isAside = isAside;
    this._isOpen = isOpen;
    this._isSearched = false;
    this.element = h(
      "details",
      { class: "group", open: isOpen },
      h("summary", {}, title, h("span", { class: "tab-count" }, fields.length)),
      h("div", { class: "fields" }, ...fields.map(({ element }) => element)),
    );
  }

  /** Show what fits a search, or without one what fits the task; returns how many fields that are. */
  show(/** @type {string} */ wanted, /** @type {string|null} */ task) {
    const fits = (/** @type {Field} */ field) =>
      wanted
        ? `${field.name} ${field.argument.description ?? ""}`.toLowerCase().includes(wanted)
        : this._fits(task) || field.value !== undefined;
    let shown = 0;
    for (const field of this.fields) {
      field.element.hidden = !fits(field);
      shown += Number(!field.element.hidden);
    }
    this.element.hidden = shown === 0;
    if (wanted) this.element.open = true;
    else if (this._isSearched) this.element.open = this._isOpen; // what a person has opened stays so
    this._isSearched = wanted !== "";
    return shown;
  }

  _fits(/** @type {string|null} */ task) {
    return !this._isAside && (!this._tasks || task === null || this._tasks.includes(task));
  }
}
