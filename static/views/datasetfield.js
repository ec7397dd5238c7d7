/** Choosing a dataset: those that are there to click on, names that work here while one types, and what a dataset is. */

import { h } from "../ui/dom.js";
import { dataset, plural } from "../data/format.js";
import { dataOf } from "../data/types.js";

/** @typedef {import("../ui/field.js").Field} Field */
/** @typedef {import("../data/types.js").DatasetList} DatasetList */
/** @typedef {import("../data/types.js").Job} Job */

export const PLACEHOLDER = "/data/my-dataset/data.yaml";
const EXAMPLE = `path: /data/my-dataset
train: images/train    # labels lie in labels/train
val: images/val
names:
  0: cat
  1: dog`;

export const whereToLook = (/** @type {string[]} */ roots) =>
  `The absolute path of a YAML, of the folder or .zip with one in it, or of a folder of classes. ${roots.length ? `Looked for under ${roots.join(", ")}.` : "--data-root makes the service list a folder's datasets here."}`;

/** @param {Field} field @param {DatasetList} found @param {Iterable<Job>} jobs */
export function datasetField(field, found, jobs) {
  field.control.setAttribute("list", "datasets");
  const paths = [...found.datasets.map(({ path }) => path), ...found.ready];
  return h(
    "div",
    { class: "dataset" },
    h(
      "div",
      { class: "choices", role: "group", "aria-label": "Datasets found" },
      ...choices(field, found.datasets, jobs),
    ),
    field.element,
    h("datalist", { id: "datasets" }, ...paths.map((value) => h("option", { value }))),
    h(
      "details",
      {},
      h("summary", { class: "hint" }, "What such a file holds"),
      h("pre", { class: "example", tabindex: 0, role: "group", "aria-label": "A dataset's YAML" }, EXAMPLE),
      h(
        "p",
        { class: "hint" },
        "For classification there is no file: give the folder that holds train and val, with a folder for each class.",
      ),
    ),
  );
}

/** Those under the data roots, then those of earlier trainings. @param {Field} field @param {DatasetList["datasets"]} found @param {Iterable<Job>} jobs */
function choices(field, found, jobs) {
  const listed = new Map(
    found.map((each) => [
      each.path,
      {
        name: each.name,
        note: plural(each.classes, "class") + (each.kind === "folder" ? ", to classify" : ""),
        names: each.names.join(", "),
      },
    ]),
  );
  for (const path of [...jobs].map(dataOf))
    if (path && !listed.has(path)) listed.set(path, { name: dataset(path), note: "used before", names: path });
  const choose = (/** @type {string} */ path) => {
    field.value = path;
    field.control.dispatchEvent(new Event("input"));
  };
  return [...listed]
    .slice(0, 24)
    .map(([path, { name, note, names }]) =>
      h(
        "button",
        { type: "button", class: "choice", title: `${path}\n${names}`, onclick: () => choose(path) },
        h("b", {}, name),
        h("span", { class: "quiet" }, note),
      ),
    );
}
