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
import { commonWords, OWN } from "./formwords.js";
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

export class TrainingForm {
  /** @param {import("../line/connection.js").Connection} connection @param {string|null} from a job whose payload to begin with */
  constructor(connection, from) {
    this._connection = connection;
    this._from = from;
    this._draft = new Draft(from);
    /** @type {Map<string, Field>} by pointer */
    this._fields = new Map();
    /** Names that only `fit_params` takes. @type {Set<string>} */
    this._fitOnly = new Set();
    /** The chosen model's; null: not known. @type {string|null} */
    this._task = null;
    title("New training");
    favicon(null);
    this._trouble = h("div", { class: "fault card", role: "alert", hidden: true, tabindex: -1 });
    this._source = h("p", { class: "quiet", hidden: true });
    this._kept = h("p", { class: "note", hidden: true }, "What was typed here before is back. ");
    this._kept.append(h("button", { type: "button", class: "link", onclick: () => this._afresh() }, "Begin afresh"));
    this._form = h("form", { novalidate: true, class: "training-form", hidden: true });
    this._loading = h(
      "p",
      { class: "empty" },
      "Reading what the service can train … the first time takes a few seconds.",
    );
    this.element = h("div", { class: "narrow" });
    this.element.append(
      h("h1", {}, "New training"),
      from ? this._source : demoCard(),
      this._trouble,
      this._kept,
      this._loading,
      this._form,
    );
    this._form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._submit();
    });
    this._make().catch((error) => this._fail(error));
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
    const hyper = whole.properties.hyperparameters.properties;
    this._fitOnly = new Set(Object.keys(table).filter((name) => !(name in hyper)));
    const words = commonWords(all?.gpus);
    const add = (/** @type {string} */ pointer, /** @type {Argument} */ argument, /** @type {Words} */ said = {}) => {
      const field = new Field(pointer.split("/").at(-1) ?? "", argument, () => this._changed(), said);
      this._fields.set(pointer, field);
      return field;
    };
    const place = (/** @type {string} */ name) =>
      `/${this._fitOnly.has(name) ? "fit_params" : "hyperparameters"}/${name}`;
    const model = add("/model", whole.properties.model, {
      label: "Name or path",
      hint: "Or by hand: a name such as yolov8s.pt or yolov8s.yaml, or a file's absolute path.",
    });
    const data = add("/fit_params/data", table.data, {
      label: "Path",
      placeholder: PLACEHOLDER,
      hint: whereToLook(found.roots),
    });
    const common = Object.keys(words)
      .filter((name) => name in table)
      .map((name) => add(place(name), table[name], words[name]));
    const rest = Object.keys(table)
      .filter((name) => name !== "data" && !(name in words))
      .map((name) => add(place(name), table[name]));
    const own = Object.keys(whole.properties).filter(
      (name) => !["model", "hyperparameters", "fit_params"].includes(name),
    );
    const others = own.map((name) => add(`/${name}`, whole.properties[name], OWN[name]));
    await this._begin();
    this._more = new MoreArguments(rest, this._from ? "Set in that training" : "Set");
    const picker = new ModelPicker(/** @type {HTMLInputElement} */ (model.control), (task) => {
      this._more?.show(task);
      this._task = task;
    });
    const check = (this._check = new DatasetCheck(
      () => this._wanted(),
      (detail, suggestion) => data.fault(detail, suggestion),
    ));
    data.control.addEventListener("input", () => check.forget());
    this._form.append(
      h("fieldset", { class: "card" }, h("legend", {}, "Model"), picker.element, model.element),
      h(
        "fieldset",
        { class: "card" },
        h("legend", {}, "Dataset"),
        datasetField(data, found, this._connection.jobs.values()),
        check.element,
      ),
      h(
        "fieldset",
        { class: "card" },
        h("legend", {}, "Training"),
        h("div", { class: "fields" }, ...[...common, ...others].map((field) => field.element)),
      ),
      this._more.element,
      this._shell(),
      this._end(),
    );
    this._loading.hidden = true;
    this._form.hidden = false;
    this._drawCurl();
    const isUntouched = !this._from && this._kept.hidden;
    await picker.load().catch(() => {});
    if (isUntouched) {
      this._draft.begin(this._fields); // with the model that the picker has chosen
      this._draft.forget();
    }
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
