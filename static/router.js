/**
 * What the address names. Everything behind `#`, so that the page needs one address of the server only:
 * `#` the list, `#/new` the form, `#/compare/a,b` a comparison, `#<id>` a job and `#<id>/log` one of its tabs.
 *
 * @typedef {{view: "list"} | {view: "new", from: string|null} | {view: "compare", ids: string[]}
 *   | {view: "job", id: string, tab: string}} Route
 */

/** @returns {Route} */
export function parse(hash = location.hash) {
  const [first = "", second = "", third = ""] = hash.replace(/^#/, "").split("/").map(decode);
  if (first) return { view: "job", id: first, tab: second || "charts" };
  if (second === "new") return { view: "new", from: third || null };
  if (second === "compare") return { view: "compare", ids: third.split(",").filter(Boolean) };
  return { view: "list" };
}

const decode = (/** @type {string} */ part) => {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a stray %: nobody's id
  }
};

export const jobAddress = (/** @type {string} */ id, tab = "") => `#${encodeURIComponent(id)}${tab && `/${tab}`}`;
export const newAddress = (/** @type {string} */ from = "") => `#/new${from && `/${encodeURIComponent(from)}`}`;
export const compareAddress = (/** @type {string[]} */ ids) => `#/compare/${ids.map(encodeURIComponent).join(",")}`;
