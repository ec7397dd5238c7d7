/** Starting a training: a form made from the schema, which sends only what differs from the defaults. */

import { ask, jobPath, post } from "../data/api.js";
import { argumentTable, datasets, models, schema } from "../data/catalog.js";
import { favicon, say, title } from "../ui/attention.js";
import { DatasetCheck } from "./datasetcheck.js";
import { datasetField, PLACEHOLDER, whereToLook } from "./datasetfield.js";
import { demoCard } from "./demo.js";
import { button, copy, h, icon, write } from "../ui/dom.js";
import { Draft } from "./draft.js";
import { Field } from "../ui/field.js";
import { commonWords, MODEL, OWN } from "./formwords.js";
import { ModelPicker } from "./modelpicker.js";
import { MoreArguments } from "./more.js";
import { curlLine } from "../data/curl.js";
import { jobAddress } from "../router.js";
import { nameOf } from "../ui/status.js";

/** @typedef {import("../data/api.js").Problem} Problem */
/** @typedef {import("../ui/field.js").Words} Words */
/** @typedef {import("../data/catalog.js").Argument} Argument */

/** Images that are drawn unless somebody wants it otherwise; the service's default is none. */
const PREVIEWS = 4;

const section = (/** @type {string} */ name, /** @type {HTMLElement[]} */ ...parts) =>
  h("fieldset", { class: "card" }, h("legend", {}, name), ...parts);

export class TrainingForm {
  /** @type {Map<string, Field>} by pointer */
  _fields = new Map();
  /** Names that only `fit_params` takes. @type {Set<string>} */
  _fitOnly = new Set();
  /** The chosen model's; null: not known. @type {string|null} */
  _task = null;
  _trouble = h("div", { class: "fault card", role: "alert", hidden: true, tabindex: -1 });
  _source = h("p", { class: "quiet", hidden: true });
  _kept = h(
    "p",
    { class: "note", hidden: true },
    "What was typed here before is back. ",
    h("button", { type: "button", class: "link", onclick: () => this._afresh() }, "Begin afresh"),
  );
  _loading = h("p", { class: "empty" }, "Reading what the service can train … the first time takes a few seconds.");

  /** @param {import("../line/connection.js").Connection} connection @param {string|null} from a job whose payload to begin with */
  constructor(connection, from) {
    this._connection = connection;
    this._from = from;
    this._draft = new Draft(from);
    title("New training");
    favicon(null);
    this._form = this._makeForm();
    this.element = h(
      "div",
      { class: "narrow" },
      h("h1", {}, "New training"),
      from ? this._source : demoCard(),
      this._trouble,
      this._kept,
      this._loading,
      this._form,
    );
    this._make().catch((error) => this._fail(error));
  }

  /** A form that is still empty: its fields come with the schema. */
  _makeForm() {
    const form = h("form", { novalidate: true, class: "training-form", hidden: true });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._submit();
    });
    return form;
  }

  close() {
    this._check?.close();
  }

  async _make() {
    const none = { datasets: [], roots: [], known: [], ready: [] };
    const [whole, table, found, all] = await Promise.all([
      schema(),
      argumentTable(),
      datasets().catch(() => none),
      models().catch(() => null),
      this._connection.listed,
    ]);
    const made = this._makeFields(whole, table, found.roots, commonWords(all?.gpus));
    await this._begin();
    this._more = new MoreArguments(made.rest, this._from ? "Set in that training" : "Set");
    const picker = new ModelPicker(/** @type {HTMLInputElement} */ (made.model.control), (task) => {
      this._more?.show(task);
      this._task = task;
    });
    const choice = datasetField(made.data, found, this._connection.jobs.values());
    this._form.append(
      section("Model", picker.element, made.model.element),
      section("Dataset", choice, this._makeCheck(made.data).element),
      section("Training", h("div", { class: "fields" }, ...made.common.map((field) => field.element))),
      this._more.element,
      this._shell(),
      this._end(),
    );
    this._loading.hidden = true;
    this._form.hidden = false;
    this._drawCurl();
    await this._preselect(picker);
  }

  /**
   * A field for each argument: the model, the dataset, those that most people set, and all others.
   * @param {import("../data/catalog.js").PayloadSchema} whole @param {Record<string, Argument>} table
   * @param {string[]} roots folders that datasets are looked for in @param {Record<string, Words>} words
   */
  _makeFields({ properties }, table, roots, words) {
    const hyper = properties.hyperparameters.properties;
    this._fitOnly = new Set(Object.keys(table).filter((name) => !(name in hyper)));
    const place = (/** @type {string} */ name) =>
      `/${this._fitOnly.has(name) ? "fit_params" : "hyperparameters"}/${name}`;
    const model = this._addField("/model", properties.model, MODEL);
    const hint = whereToLook(roots);
    const data = this._addField("/fit_params/data", table.data, { label: "Path", placeholder: PLACEHOLDER, hint });
    const common = Object.keys(words)
      .filter((name) => name in table)
      .map((name) => this._addField(place(name), table[name], words[name]));
    const rest = Object.keys(table)
      .filter((name) => name !== "data" && !(name in words))
      .map((name) => this._addField(place(name), table[name]));
    const own = Object.keys(properties)
      .filter((name) => !["model", "hyperparameters", "fit_params"].includes(name))
      .map((name) => this._addField(`/${name}`, properties[name], OWN[name]));
    return { model, data, common: [...common, ...own], rest };
  }

  /** @param {string} pointer where it stands in the payload @param {Argument} argument @param {Words} [said] */
  _addField(pointer, argument, said = {}) {
    const field = new Field(pointer.split("/").at(-1) ?? "", argument, () => this._changed(), said);
    this._fields.set(pointer, field);
    return field;
  }

  _makeCheck(/** @type {Field} */ data) {
    const check = new DatasetCheck(
      () => this._wanted(),
      (detail, suggestion) => data.fault(detail, suggestion),
    );
    data.control.addEventListener("input", () => check.forget());
    this._check = check;
    return check;
  }

  /** The model that the picker begins with was typed by nobody. */
  async _preselect(/** @type {ModelPicker} */ picker) {
    const isUntouched = !this._from && this._kept.hidden;
    await picker.load().catch(() => {});
    if (!isUntouched) return;
    this._draft.begin(this._fields);
    this._draft.forget();
  }

  /** What this would be in a shell. */
  _shell() {
    this._curl = h("pre", { class: "curl", tabindex: 0, role: "group", "aria-label": "The same as a command" });
    const take = button("copy", "Copy", {
      onclick: (/** @type {import("../ui/dom.js").Pressed} */ event) =>
        copy(this._curl?.textContent ?? "", event.currentTarget),
    });
    return h("details", { class: "card" }, h("summary", {}, "The same in a shell"), this._curl, take);
  }

  /** The button, always in sight, and what keeps it from working. */
  _end() {
    this._submitButton = h("button", { type: "submit", class: "primary" }, icon("play"), "Start training");
    this._said = h("span", { class: "quiet" }, "Only what differs from the defaults is sent.");
    return h("div", { class: "row submit" }, this._submitButton, this._said);
  }

  /** Begin with what another training was given, and over it with what was typed before. */
  async _begin() {
    const { _from: from, _fields: fields } = this;
    const preview = fields.get("/fit_params/preview");
    if (!from && preview) preview.value = PREVIEWS;
    if (from) {
      /** @type {import("../data/types.js").Job} */
      const job = this._connection.jobs.get(from) ?? (await ask(jobPath(from)));
      const { model, priority, max_runtime_seconds } = job;
      for (const [name, value] of Object.entries({
        model,
        priority,
        max_runtime_seconds,
        ...job.hyperparameters,
        ...job.fit_params,
      })) {
        const field =
          fields.get(`/${name}`) ?? fields.get(`/hyperparameters/${name}`) ?? fields.get(`/fit_params/${name}`);
        if (field) field.value = value;
      }
      for (const field of fields.values()) field.begin();
      this._source.replaceChildren(
        "Begins with the arguments of ",
        h("a", { href: jobAddress(from) }, nameOf(job)),
        "; what you change is marked.",
      );
      this._source.hidden = false;
    }
    this._draft.begin(fields);
    this._kept.hidden = !this._draft.restore(fields);
  }

  /** What a look through the dataset needs to know. */
  _wanted() {
    const value = (/** @type {string} */ name) => this._fields.get(`/hyperparameters/${name}`)?.value;
    const data = String(this._fields.get("/fit_params/data")?.value ?? "");
    return { data, task: this._task, single_cls: value("single_cls"), classes: value("classes") };
  }

  _changed() {
    this._draft.keep(this._fields);
    this._drawCurl();
  }

  _afresh() {
    this._draft.forget();
    this._fields.clear();
    this._form.replaceChildren();
    this._kept.hidden = this._trouble.hidden = true;
    this._make().catch((error) => this._fail(error));
  }

  _payload() {
    /** @type {Record<string, unknown>} */
    const own = { model: "" };
    /** @type {Record<string, Record<string, unknown>>} */
    const sections = { hyperparameters: {}, fit_params: {} };
    for (const [pointer, field] of this._fields) {
      const { value } = field;
      if (value === undefined) continue;
      const [first, second] = pointer.slice(1).split("/");
      if (second) sections[first][second] = value;
      else own[first] = value;
    }
    const { model, ...others } = own;
    return { model, ...sections, ...others };
  }

  _drawCurl() {
    if (this._curl) write(this._curl, curlLine(this._payload()));
  }

  /** The service says what is wrong, all at once: what this page knows of the bounds holds nothing back. */
  async _submit() {
    this._trouble.hidden = true;
    const submit = /** @type {HTMLButtonElement} */ (this._submitButton);
    submit.disabled = true;
    try {
      /** @type {import("../data/types.js").Accepted} */
      const { job_id: id } = await post("train", this._payload());
      this._draft.forget();
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
    const isPayload = problem.status === 422;
    for (const field of this._fields.values()) field.fault(isPayload ? field.check() : "");
    const rest = [];
    for (const { pointer, detail, suggestion } of problem.faults) {
      const name = pointer.split("/").slice(0, 3).join("/");
      const field = this._fields.get(name) ?? this._fields.get(name.replace("/fit_params/", "/hyperparameters/"));
      if (!field) rest.push(`${pointer}: ${detail}`);
      else field.fault(detail, suggestion);
    }
    const text = rest.length ? rest.join(" ") : problem.faults.length ? "" : problem.message;
    write(this._trouble, text);
    this._trouble.hidden = !text;
    const wrong = [...this._fields.values()].filter(({ isWrong }) => isWrong);
    for (const field of wrong) this._more?.open(field);
    (wrong[0]?.control ?? this._trouble).focus();
    const sum = wrong.length === 1 ? "1 entry to correct." : `${wrong.length} entries to correct.`;
    write(/** @type {Element} */ (this._said), wrong.length ? sum : "");
    if (wrong.length) say(sum);
  }

  _fail(/** @type {Error} */ error) {
    this._loading.hidden = true;
    write(this._trouble, error.message);
    this._trouble.hidden = false;
  }
}
