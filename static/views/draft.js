/** What was typed into the form and not started yet: kept while the tab lives, over a reload too. */

/** @typedef {import("../ui/field.js").Field} Field */

export class Draft {
  /** @param {string|null} from the training from which the form began: each has a draft of its own */
  constructor(from) {
    this._key = `draft:${from ?? ""}`;
    this._untouched = "";
  }

  /** What the fields hold now was typed by nobody: there is nothing to keep of it. */
  begin(/** @type {Map<string, Field>} */ fields) {
    this._untouched = texts(fields);
  }

  keep(/** @type {Map<string, Field>} */ fields) {
    const typed = texts(fields);
    if (typed === this._untouched) this.forget();
    else sessionStorage.setItem(this._key, typed);
  }

  /** Put it back; whether there was one. */
  restore(/** @type {Map<string, Field>} */ fields) {
    const kept = sessionStorage.getItem(this._key);
    if (!kept) return false;
    const typed = JSON.parse(kept);
    for (const [pointer, field] of fields) field.text = typed[pointer] ?? "";
    return true;
  }

  forget() {
    sessionStorage.removeItem(this._key);
  }
}

const texts = (/** @type {Map<string, Field>} */ fields) =>
  JSON.stringify(
    Object.fromEntries([...fields].map(([pointer, field]) => [pointer, field.text]).filter(([, text]) => text)),
  );
