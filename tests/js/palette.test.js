import assert from "node:assert/strict";
import { test } from "node:test";

/** What a page has and node has not. */
const queries = [];
globalThis.matchMedia = () => {
  const query = Object.assign(new EventTarget(), { matches: false });
  queries.push(query);
  return query;
};
const page = new EventTarget();
globalThis.addEventListener = page.addEventListener.bind(page);
globalThis.removeEventListener = page.removeEventListener.bind(page);
const { faint, onRecolour } = await import("../../static/ui/palette.js");

test("a faint colour is the same one, a quarter as strong; what is no rgb stays", () => {
  assert.equal(faint("rgb(1, 2, 3)"), "rgba(1, 2, 3, 0.25)");
  assert.equal(faint("rgba(1, 2, 3, 0.5)"), "rgba(1, 2, 3, 0.5)");
  assert.equal(faint(""), "");
});

test("whatever recolours the page is heard of, until one stops listening", () => {
  let heard = 0;
  const stop = onRecolour(() => (heard += 1));
  for (const query of queries) query.dispatchEvent(new Event("change"));
  page.dispatchEvent(new Event("themechange"));
  assert.equal(heard, queries.length + 1);
  stop();
  for (const query of queries) query.dispatchEvent(new Event("change"));
  page.dispatchEvent(new Event("themechange"));
  assert.equal(heard, queries.length + 1);
});
