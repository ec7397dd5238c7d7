/** What the keyboard can do here. */

import { h } from "./dom.js";

/** @type {[string, string][]} */
const KEYS = [
  ["l", "all trainings"],
  ["n", "new training"],
  ["1 … 7", "tabs of a training"],
  ["j, k", "next and previous training in the list"],
  ["↓ ↑", "the same, from a training in the list"],
  ["/", "search"],
  ["← →", "along a chart, between tabs, between pictures"],
  ["t", "light, dark, as the system"],
  ["?", "this list"],
];

export function showShortcuts() {
  const dialog = h(
    "dialog",
    { "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keyboard"),
    h("dl", { class: "keys" }, ...KEYS.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
    h("form", { method: "dialog" }, h("div", { class: "dialog-end" }, h("button", {}, "Close"))),
  );
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
}
