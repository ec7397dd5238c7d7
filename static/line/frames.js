/** Cuts a stream of Server-Sent Events, which comes in pieces of any size, into what its frames carry. */

export class FrameReader {
  /** Milliseconds after which the service wants to be asked again once the stream has ended. */
  retryMs = 2000;
  #rest = "";
  /** @type {string[]} */
  #data = [];

  /** The data of each frame that this piece completes. */
  push(/** @type {string} */ piece) {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#line(line.replace(/\r$/, "")));
  }

  /** @returns {string[]} */
  #line(/** @type {string} */ line) {
    if (line === "") {
      const data = this.#data.splice(0);
      return data.length ? [data.join("\n")] : [];
    }
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line) ?? ["", "", ""];
    if (name === "data") this.#data.push(value);
    else if (name === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
    return [];
  }
}
