/** Starting a training: a form made from the schema, which sends only what differs from the defaults. */

import { ask, jobPath, post, Problem } from "./api.js";
import { argumentTable, datasets, schema } from "./catalog.js";
import { favicon, say, title } from "./attention.js";
import { startDemo } from "./demo.js";
import { button, copy, h, icon, write } from "./dom.js";
import { dataset, plural } from "./format.js";
import { Field } from "./field.js";
import { ModelPicker } from "./modelpicker.js";
import { curlLine } from "./payload.js";
import { jobAddress } from "./router.js";

/** Arguments that stand at the top, with the words that most people use for them. @type {Record<string, string>} */
const COMMON = {
  epochs: "Epochs",
  imgsz: "Image size",
  batch: "Batch size",
  patience: "Patience",
  optimizer: "Optimizer",
  lr0: "Learning rate",
  preview: "Previews",
  device: "Device",
};
/** Arguments that have nothing to do with training: they are found by searching only. */
const ASIDE = /predict|export|validation only|video|OpenCV DNN|inference|window|^draw |bounding boxes|TensorRT|ONNX|DEEPX|target format|save .*\.txt|cropped/i;

export class TrainingForm {
  /** @param {import("./connection.js").Connection} connection @param {string|null} from a job whose payload to begin with */
  constructor(connection, from) {
    this._connection = connection;
    this._from = from;
    /** @type {Map<string, Field>} by pointer */
    this._fields = new Map();
    /** Names that only `fit_params` takes. @type {Set<string>} */
    this._fitOnly = new Set();
    title("New training");
    favicon(null);
    this._trouble = h("div", { class: "fault card", role: "alert", hidden: true, tabindex: -1 });
    this._form = h("form", { novalidate: true, class: "training-form", hidden: true });
    this._loading = h("p", { class: "empty" }, "Reading what the service can train … the first time takes a few seconds.");
    this.element = h("div", { class: "narrow" }, h("h1", {}, "New training"), this._demo(), this._trouble, this._loading, this._form);
    this._form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._submit();
    });
    this._make().catch((error) => this._fail(error));
  }

  close() {}

  _demo() {
    const trouble = h("p", { class: "fault", role: "alert", hidden: true });
    const go = h("button", { type: "button", onclick: (/** @type {any} */ event) => startDemo(event.currentTarget, trouble) }, icon("play"), "Run the demo");
    return h("div", { class: "card demo" }, h("div", { class: "row" }, h("span", {}, "No dataset at hand? The demo draws coloured shapes and trains on them for about a minute."), go), trouble);
  }

  async _make() {
    const [whole, table, found] = await Promise.all([schema(), argumentTable(), datasets().catch(() => ({ datasets: [], known: [] })), this._connection.listed]);
    const hyper = whole.properties.hyperparameters.properties;
    this._fitOnly = new Set(Object.keys(table).filter((name) => !(name in hyper)));
    const changed = () => this._drawCurl();
    const add = (/** @type {string} */ pointer, /** @type {Field} */ field) => {
      this._fields.set(pointer, field);
      return field;
    };
    const model = add("/model", new Field("model", whole.properties.model, changed, "Name or path"));
    const data = add("/fit_params/data", new Field("data", table.data, changed, "Path"));
    const place = (/** @type {string} */ name) => `/${this._fitOnly.has(name) ? "fit_params" : "hyperparameters"}/${name}`;
    const common = Object.keys(COMMON).filter((name) => name in table).map((name) => add(place(name), new Field(name, table[name], changed, COMMON[name])));
    const rest = Object.keys(table).filter((name) => name !== "data" && !(name in COMMON)).map((name) => add(place(name), new Field(name, table[name], changed)));
    const own = Object.entries(whole.properties).filter(([name]) => !["model", "hyperparameters", "fit_params"].includes(name));
    const others = own.map(([name, argument]) => add(`/${name}`, new Field(name, /** @type {any} */ (argument), changed)));
    const picker = new ModelPicker(/** @type {HTMLInputElement} */ (model.control));
    await this._begin();
    this._curl = h("pre", { class: "curl", tabindex: 0, role: "group", "aria-label": "The same as a command" });
    this._submitButton = h("button", { type: "submit", class: "primary" }, icon("play"), "Start training");
    this._form.append(
      h("fieldset", { class: "card" }, h("legend", {}, "Model"), picker.element, model.element),
      h("fieldset", { class: "card" }, h("legend", {}, "Dataset"), this._choices(found.datasets, data), data.element, this._known(data, found.known)),
      h("fieldset", { class: "card" }, h("legend", {}, "Training"), h("div", { class: "fields" }, ...[...common, ...others].map((field) => field.element))),
      this._more(rest),
      h("div", { class: "row submit" }, this._submitButton, h("span", { class: "quiet" }, "Only what differs from the defaults is sent.")),
      h(
        "details",
        { class: "card" },
        h("summary", {}, "The same in a shell"),
        this._curl,
        button("copy", "Copy", { onclick: (/** @type {any} */ event) => copy(this._curl?.textContent ?? "", event.currentTarget) }),
      ),
    );
    this._loading.hidden = true;
    this._form.hidden = false;
    this._drawCurl();
    picker.load().catch(() => {});
  }

  /** Begin with what another training was given. */
  async _begin() {
    if (!this._from) return;
    const job = this._connection.jobs.get(this._from) ?? (await ask(jobPath(this._from)));
    /** @type {Field} */ (this._fields.get("/model")).value = job.model;
    const { priority, max_runtime_seconds } = job;
    for (const [name, value] of Object.entries({ priority, max_runtime_seconds, ...job.hyperparameters, ...job.fit_params })) {
      const field = this._fields.get(`/${name}`) ?? this._fields.get(`/hyperparameters/${name}`) ?? this._fields.get(`/fit_params/${name}`);
      if (field) field.value = value;
    }
  }

  /** Names of datasets that Ultralytics knows, offered while one types. */
  _known(/** @type {Field} */ field, /** @type {string[]} */ names) {
    field.control.setAttribute("list", "known-datasets");
    return h("datalist", { id: "known-datasets" }, ...names.map((value) => h("option", { value })));
  }

  /** Datasets to click on: those under the data roots, then those of earlier trainings. */
  _choices(/** @type {any[]} */ found, /** @type {Field} */ field) {
    const listed = new Map(found.map((each) => [each.path, { name: each.name, note: plural(each.classes, "class") + (each.kind === "folder" ? ", to classify" : ""), names: each.names.join(", ") }]));
    for (const { fit_params: own } of this._connection.jobs.values())
      if (own?.data && !listed.has(own.data)) listed.set(own.data, { name: dataset(own.data), note: "used before", names: own.data });
    const choose = (/** @type {string} */ path) => {
      field.value = path;
      field.control.dispatchEvent(new Event("input"));
    };
    return h("div", { class: "choices", role: "group", "aria-label": "Datasets found" }, ...this._buttons(listed, choose));
  }

  /** @param {Map<string, {name: string, note: string, names: string}>} listed @param {(path: string) => void} choose */
  _buttons(listed, choose) {
    return [...listed].slice(0, 24).map(([path, { name, note, names }]) =>
      h("button", { type: "button", class: "choice", title: `${path}\n${names}`, onclick: () => choose(path) }, h("b", {}, name), h("span", { class: "quiet" }, note)),
    );
  }

  /** Everything else, to be searched. */
  _more(/** @type {Field[]} */ fields) {
    const search = h("input", { type: "search", class: "search", placeholder: "Search by name or meaning", "aria-label": "Search arguments", data: { search: "" } });
    const all = h("input", { type: "checkbox" });
    const size = h("span", { class: "quiet", "aria-live": "polite" });
    const filter = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      for (const field of fields) {
        const { name, argument } = field;
        const text = `${name} ${argument.description ?? ""}`;
        const fits = wanted ? text.toLowerCase().includes(wanted) : all.checked || field.value !== undefined || !ASIDE.test(argument.description ?? "");
        field.element.hidden = !fits;
        shown += Number(fits);
      }
      write(size, plural(shown, "argument"));
    };
    search.addEventListener("input", filter);
    search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
    all.addEventListener("change", filter);
    const isUsed = fields.some((field) => field.value !== undefined);
    const details = h(
      "details",
      { class: "card", open: isUsed },
      h("summary", {}, "More arguments"),
      h("div", { class: "controls" }, h("span", { class: "search-box" }, icon("search"), search), size, h("label", {}, all, "Also those that other commands use")),
      h("div", { class: "fields" }, ...fields.map((field) => field.element)),
    );
    this._moreArguments = details;
    filter();
    return details;
  }

  _payload() {
    /** @type {any} */
    const payload = { model: "", hyperparameters: {}, fit_params: {} };
    for (const [pointer, field] of this._fields) {
      const { value } = field;
      if (value === undefined) continue;
      const [first, second] = pointer.slice(1).split("/");
      if (second) payload[first][second] = value;
      else payload[first] = value;
    }
    return payload;
  }

  _drawCurl() {
    if (this._curl) write(this._curl, curlLine(this._payload()));
  }

  async _submit() {
    this._trouble.hidden = true;
    const faults = [...this._fields].flatMap(([pointer, field]) => {
      const detail = field.check();
      return detail ? [{ pointer, detail }] : [];
    });
    if (faults.length) return this._show(new Problem(422, "", faults));
    const submit = /** @type {HTMLButtonElement} */ (this._submitButton);
    submit.disabled = true;
    try {
      const { job_id: id } = await post("train", this._payload());
      say("The training is queued.");
      location.hash = jobAddress(id);
    } catch (error) {
      this._show(/** @type {Problem} */ (error));
    } finally {
      submit.disabled = false;
    }
  }

  /** Each fault at its field; what belongs to none, at the top. */
  _show(/** @type {Problem} */ problem) {
    for (const field of this._fields.values()) field.fault("");
    /** @type {Field|null} */
    let first = null;
    const rest = [];
    for (const { pointer, detail, suggestion } of problem.faults) {
      const name = pointer.split("/").slice(0, 3).join("/");
      const field = this._fields.get(name) ?? this._fields.get(name.replace("/fit_params/", "/hyperparameters/"));
      if (!field) rest.push(`${pointer}: ${detail}`);
      else {
        field.fault(detail, suggestion);
        field.element.hidden = false;
        if (this._moreArguments?.contains(field.element)) this._moreArguments.open = true;
        first ??= field;
      }
    }
    const text = rest.length ? rest.join(" ") : problem.faults.length ? "" : problem.message;
    write(this._trouble, text);
    this._trouble.hidden = !text;
    if (first) first.control.focus();
    else this._trouble.focus();
    if (first) say(`${plural(problem.faults.length, "entry").replace("entrys", "entries")} to correct.`);
  }

  _fail(/** @type {Error} */ error) {
    this._loading.hidden = true;
    write(this._trouble, error.message);
    this._trouble.hidden = false;
  }
}
