/**
 * A SharedWorker: one `Board` for all tabs of this page. A browser opens six HTTP/1.1 connections to a host, so eight
 * tabs with a stream each would leave none for anything else.
 */

import { Board } from "./board.js";

/** @type {Set<MessagePort>} */
const ports = new Set();
/** @type {Map<string, import("../data/types.js").Job>} the newest state of each job, for a tab that opens later; null before the first list */
let jobs = new Map();
let isListed = false;
/** @type {import("./board.js").BoardMessage|null} the places that were told since, which the jobs do not know */
let places = null;

const board = new Board(new URL("../../events", import.meta.url), (message) => {
  if (message.type === "jobs") {
    jobs = new Map(message.jobs.map((job) => [job.job_id, job]));
    isListed = true;
    places = null;
  } else if (message.type === "job") {
    jobs.set(message.job.job_id, message.job);
  } else if (message.type === "deleted") {
    jobs.delete(message.id);
  } else if (message.type === "places") {
    places = message;
  }
  for (const port of ports) port.postMessage(message);
});

addEventListener("connect", (event) => {
  if (!(event instanceof MessageEvent)) return;
  const [port] = event.ports;
  port.onmessage = ({ data }) => {
    if (data === "bye") ports.delete(port);
    else if (data === "poke") board.poke();
    else if (data === "hello") {
      ports.add(port);
      port.postMessage({ type: "link", link: board.link });
      if (isListed) port.postMessage({ type: "jobs", jobs: [...jobs.values()] });
      if (places) port.postMessage(places);
      board.poke();
    }
  };
});

board.run();
