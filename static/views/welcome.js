/** What stands where nothing has been trained yet. */

import { startDemo } from "./demo.js";
import { h, icon } from "../ui/dom.js";
import { newAddress } from "../router.js";

export function welcome() {
  const trouble = h("p", { class: "fault", role: "alert", hidden: true });
  return h(
    "div",
    { class: "card welcome", hidden: true },
    h("h2", {}, "Nothing trained yet"),
    h(
      "p",
      {},
      "Start with a dataset of yours, or see it work first: the demo draws coloured shapes and trains a small model on them, in about a minute.",
    ),
    h(
      "div",
      { class: "row start" },
      h("a", { class: "button primary", href: newAddress() }, icon("plus"), "New training"),
      h(
        "button",
        {
          type: "button",
          onclick: (/** @type {import("../ui/dom.js").Pressed} */ event) => startDemo(event.currentTarget, trouble),
        },
        icon("play"),
        "Run the demo",
      ),
    ),
    trouble,
  );
}
