/** The page: one connection, one badge, and the view that the address names. */

import { Badge } from "./line/badge.js";
import { Connection } from "./line/connection.js";
import { h, iconButton, mark } from "./ui/dom.js";
import { newAddress, parse } from "./router.js";
import { showShortcuts } from "./ui/shortcuts.js";
import { applyTheme, nextTheme } from "./ui/theme.js";

/** @typedef {import("./router.js").Route} Route */
/**
 * What stands in the page: `go` shows another of its tabs, `goTo` the one of a number, `step` leads along a list.
 * @typedef {{element: HTMLElement, close: () => void, go?: (tab: string) => void, goTo?: (number: number) => void, step?: (by: number) => boolean}} View
 */

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const nav = /** @type {HTMLElement} */ (document.getElementById("nav"));

applyTheme();
const connection = new Connection();
const badge = new Badge(connection);

const LINKS = [
  { view: "list", link: h("a", { href: "#" }, "Trainings") },
  { view: "new", link: h("a", { href: newAddress() }, "New") },
  { view: "compare", link: h("a", { href: "#/compare/" }, "Compare") },
];
nav.append(...LINKS.map(({ link }) => link));
const end = /** @type {HTMLElement} */ (document.getElementById("top-end"));
end.append(
  badge.element,
  iconButton("theme", "Light, dark or as the system", { onclick: nextTheme }),
  iconButton("keyboard", "Keyboard shortcuts", { class: "wide", onclick: showShortcuts }),
);

/**
 * Each view's scripts are read when it is first shown: the list does not wait for the charts.
 * @param {Route} route @returns {Promise<() => View>}
 */
async function load(route) {
  switch (route.view) {
    case "list": {
      const { JobList } = await import("./views/jobs.js");
      return () => new JobList(connection);
    }
    case "job": {
      const { JobView } = await import("./views/job.js");
      return () => new JobView(connection, route.id, route.tab, badge);
    }
    case "new": {
      const { TrainingForm } = await import("./views/form.js");
      return () => new TrainingForm(connection, route.from);
    }
    case "compare": {
      const { Comparison } = await import("./views/compare.js");
      return () => new Comparison(connection, route.ids);
    }
  }
}

/** @type {View|null} */
let view = null;
/** The way to the address of now, which may wait for scripts. */
let going = Promise.resolve();
/** What the address names, once it is shown; for whoever looks from the console. */
export const current = () => going.then(() => view);
/** @type {Route|null} */
let shown = null;

async function navigate() {
  const route = parse();
  const isSameJob = route.view === "job" && shown?.view === "job" && route.id === shown.id;
  shown = route;
  for (const { view: name, link } of LINKS) mark(link, "aria-current", name === route.view ? "page" : null);
  if (isSameJob && view?.go && route.view === "job") return view.go(route.tab);
  const make = await load(route).catch(notLoaded);
  if (shown !== route) return; // somebody has gone elsewhere meanwhile
  const before = view;
  before?.close();
  view = make();
  main.replaceChildren(view.element);
  scrollTo(0, 0);
  if (before) main.focus({ preventScroll: true });
}

/** What stands where a view's scripts did not come. */
function notLoaded() {
  const again = h("button", { type: "button", onclick: () => location.reload() }, "Load the page again");
  const element = h("div", { class: "empty" }, h("p", {}, "The service did not send this part of the page."), again);
  return () => ({ element, close: () => {} });
}

const isTyping = (/** @type {EventTarget|null} */ target) =>
  target instanceof HTMLSelectElement ||
  (target instanceof HTMLInputElement && !["range", "checkbox"].includes(target.type));

/** Keys that work everywhere but in a text. */
function onKey(/** @type {KeyboardEvent} */ event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && isTyping(event.target)) /** @type {HTMLElement} */ (event.target).blur();
  if (isTyping(event.target)) return;
  const search = /** @type {HTMLElement|null} */ (main.querySelector("[data-search]"));
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "?") showShortcuts();
  else if (event.key === "n") location.hash = newAddress();
  else if (event.key === "l") location.hash = "";
  else if (event.key === "t") nextTheme();
  else if (event.key === "j" || event.key === "k") view?.step?.(event.key === "j" ? 1 : -1);
  else if (/^[1-9]$/.test(event.key)) view?.goTo?.(Number(event.key));
}

document.getElementById("skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # is an address of ours
  main.focus();
});
addEventListener("hashchange", () => (going = navigate()));
addEventListener("keydown", onKey);
going = navigate();
// The scripts of the other views, so that the first click does not wait for them.
setTimeout(
  () =>
    Promise.all([import("./views/job.js"), import("./views/form.js"), import("./views/compare.js")]).catch(() => {}),
  1000,
);
