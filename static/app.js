/**
 * The page: a list of jobs, or one job live. `state` is all there is to know, `draw` puts it on the screen.
 * What comes from the service is shown as text, never as HTML.
 *
 * @typedef {Object<string, number|null>} Numbers
 * @typedef {{event: string, seq?: number, [field: string]: any}} JobEvent
 * @typedef {{job_id: string, status: string, last_seq: number, progress: JobEvent|null, [field: string]: any}} Job
 * @typedef {{map50: number|null, losses: Numbers}} Epoch
 */

const MAP50 = "metrics/mAP50(B)";
const FINAL = ["completed", "failed", "cancelled"];
const TYPES = ["queued", "started", "phase", "tick", "epoch_end", "log", "train_end", "interrupted", ...FINAL];
const LOG_LINES = 200;
const RETRY_MS = 3000;

const state = {
  id: /** @type {string|null} the job that is shown; null: the list */ (null),
  jobs: /** @type {Job[]|null} */ (null),
  job: /** @type {Job|null} */ (null),
  epochs: /** @type {Map<number, Epoch>} */ (new Map()),
  log: /** @type {string[]} */ ([]),
  tail: /** @type {string[]} the log's last lines before a failure */ ([]),
  seen: 0, // number of the newest event that was taken
  connection: /** @type {"connecting"|"live"|"reconnecting"|"ended"} */ ("connecting"),
  note: "", // what was wrong with the last action
  trouble: "", // what is wrong with reading, until that works again
};

/** @type {EventSource|null} */
let stream = null;
let retry = 0;
let isDrawn = true;

// Requests

/** The answer's JSON. @throws an Error with the problem's detail, and `status` @returns {Promise<any>} */
async function ask(/** @type {string} */ path, /** @type {RequestInit} */ options = {}) {
  const answer = await fetch(path, options).catch(() => {
    throw new Error("The service does not answer.");
  });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  throw Object.assign(new Error(body.detail ?? `The service answered ${answer.status}.`), { status: answer.status });
}

const post = (/** @type {string} */ path) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });

const jobPath = (/** @type {string} */ id) => `jobs/${encodeURIComponent(id)}`;

/** Read what no stream brings: the list, and a waiting job's place in the queue. */
async function refresh() {
  const { id, job } = state;
  if (document.hidden || (id !== null && job?.status !== "queued")) return;
  try {
    const answer = await ask(id === null ? "jobs?limit=50" : jobPath(id));
    if (id !== state.id) return;
    if (id === null) state.jobs = answer.jobs;
    else if (state.job?.status === "queued") state.job.queue_position = answer.queue_position;
    state.trouble = "";
  } catch (error) {
    state.trouble = error.message;
  }
  redraw();
}

function onClick(/** @type {string} */ id, /** @type {() => Promise<void>} */ action) {
  $(id).addEventListener("click", async () => {
    $(id).disabled = true;
    state.note = "";
    await action().catch((error) => (state.note = error.message));
    $(id).disabled = false;
    redraw();
  });
}

// The stream

/** Show what the address names. */
function navigate() {
  const id = location.hash.slice(1) || null;
  Object.assign(state, { id, job: null, epochs: new Map(), log: [], tail: [], seen: 0, note: "", trouble: "" });
  disconnect();
  if (id === null) refresh();
  else follow(id);
  redraw();
}

function disconnect() {
  stream?.close();
  stream = null;
  clearTimeout(retry);
}

/** Read the snapshot, then everything after what was seen. */
async function follow(/** @type {string} */ id) {
  state.connection = state.job ? "reconnecting" : "connecting";
  try {
    const job = await ask(jobPath(id));
    if (id !== state.id) return;
    Object.assign(state, { job, trouble: "" });
    if (FINAL.includes(job.status) && state.seen === job.last_seq) state.connection = "ended";
    else connect(job);
  } catch (error) {
    if (id !== state.id) return;
    state.trouble = error.status === 404 ? `There is no job ${id}.` : error.message;
    if (error.status !== 404) retry = setTimeout(follow, RETRY_MS, id);
  }
  redraw();
}

function connect(/** @type {Job} */ job) {
  const source = (stream = new EventSource(`${jobPath(job.job_id)}/events?last_event_id=${state.seen}`));
  const say = (/** @type {"live"|"reconnecting"} */ connection) => {
    if (source === stream) state.connection = connection;
    redraw();
  };
  source.onopen = () => say("live");
  source.onerror = () => {
    say("reconnecting");
    // The browser has given up, or there is nothing more (204): the snapshot tells which.
    if (source === stream && source.readyState === EventSource.CLOSED) retry = setTimeout(follow, RETRY_MS, job.job_id);
  };
  for (const type of TYPES) source.addEventListener(type, (message) => take(job, JSON.parse(message.data)));
  source.addEventListener("reset", () => {
    // The log is another one than we knew; it follows from its beginning.
    Object.assign(state, { epochs: new Map(), log: [], tail: [], seen: 0 });
    job.last_seq = 0;
  });
}

function take(/** @type {Job} */ job, /** @type {JobEvent} */ event) {
  state.seen = event.seq ?? state.seen;
  if (event.event === "log") state.log = [...state.log, ...event.lines].slice(-LOG_LINES);
  if (event.event === "failed") state.tail = event.failure?.log_tail ?? [];
  if (event.event === "epoch_end")
    state.epochs.set(event.epoch, { map50: event.metrics[MAP50] ?? null, losses: event.train_losses ?? {} });
  // The snapshot knows what the events up to its own number say.
  if (event.seq === undefined || event.seq > job.last_seq)
    Object.assign(job, CHANGES[event.event]?.(event), { last_seq: event.seq ?? job.last_seq });
  if (FINAL.includes(event.event) && event.seq === job.last_seq) {
    disconnect();
    state.connection = "ended";
  }
  redraw();
}

const NOTHING_YET = { phase: null, reason: null, error: null, failure: null, ended_at: null, cancel_requested: false };
const progress = (/** @type {JobEvent} */ event) => ({ progress: event, phase: "training", save_dir: event.save_dir });
const end = (/** @type {JobEvent} */ { event, time, reason = null, error = null, failure = null }) =>
  ({ status: event, phase: null, ended_at: time, reason, error, failure });

/** What an event changes in a job's snapshot. @type {Object<string, (event: JobEvent) => Object<string, any>>} */
const CHANGES = {
  queued: (event) => ({ ...NOTHING_YET, status: "queued", attempt: event.attempt, started_at: null }),
  started: (event) => ({ status: "running", phase: "starting", started_at: event.time }),
  phase: (event) => ({ phase: event.phase }),
  tick: (event) => ({ ...progress(event), tick: event }),
  epoch_end: progress,
  train_end: (event) => ({ ...progress(event), phase: "finishing" }),
  ...Object.fromEntries(FINAL.map((type) => [type, end])),
};

// Drawing

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

/** Set a text only where it changes: a live region would say it again. */
function write(/** @type {string} */ id, /** @type {string} */ text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

/** An element with children; strings become text. @param {Object<string, string|number>} attributes */
function make(/** @type {string} */ tag, attributes, /** @type {(Node|string)[]} */ ...children) {
  const space = ["line", "polyline", "circle", "text"].includes(tag) ? "2000/svg" : "1999/xhtml";
  const element = document.createElementNS(`http://www.w3.org/${space}`, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Draw once before the next frame, however often this is called. */
function redraw() {
  if (isDrawn) requestAnimationFrame(draw);
  isDrawn = false;
}

function draw() {
  isDrawn = true;
  const { id, job, jobs } = state;
  write("note", state.note || state.trouble);
  $("note").hidden = !(state.note || state.trouble);
  $("list").hidden = id !== null || !jobs;
  $("job").hidden = !job;
  document.title = job ? `${job.status} · ${job.job_id}` : "YOLO trainer";
  if (job) drawJob(job, FINAL.includes(job.status));
  else if (jobs) drawList(jobs);
}

function drawList(/** @type {Job[]} */ jobs) {
  $("empty").hidden = jobs.length > 0;
  $("table").hidden = jobs.length === 0;
  const focused = [...$("rows").children].findIndex((row) => row.contains(document.activeElement));
  $("rows").replaceChildren(...jobs.map((job) => make("tr", {},
    make("td", {}, make("a", { href: `#${job.job_id}` }, make("code", {}, job.job_id))),
    make("td", {}, make("span", { class: "status", "data-status": job.status }, job.status)),
    make("td", { class: "number" }, job.progress?.epoch ? `${job.progress.epoch}/${job.progress.total_epochs}` : ""),
    make("td", { class: "number" }, fixed(job.progress?.metrics[MAP50])),
    make("td", { class: "wide" }, job.model),
    make("td", { class: "wide" }, new Date(job.created_at * 1000).toLocaleString()),
  )));
  $("rows").children[focused]?.querySelector("a").focus();
}

function drawJob(/** @type {Job} */ job, /** @type {boolean} */ isFinal) {
  const place = job.queue_position && `number ${job.queue_position} in the queue`;
  const detail = isFinal ? job.reason : job.cancel_requested ? "cancelling" : job.phase ?? place;
  const isNews = detail && detail !== job.status && detail !== "finished";
  write("job-id", job.job_id);
  write("status", isNews ? `${job.status}, ${detail.replaceAll("_", " ")}` : job.status);
  $("status").dataset.status = job.status;
  write("connection", state.connection);
  $("connection").dataset.state = state.connection;
  write("facts", joined(job.model, job.fit_params?.data, job.save_dir));
  $("cancel").hidden = isFinal || job.cancel_requested;
  drawBars(job, isFinal);
  $("failure").hidden = job.status !== "failed";
  write("failure-text", job.failure?.evidence ?? job.error ?? "");
  write("failure-hint", job.failure?.hint ?? "");
  write("failure-log", state.tail.join("\n"));
  $("charts").hidden = !state.epochs.size;
  if (state.epochs.size) drawCharts(job.progress?.total_epochs ?? 1);
  const isAtEnd = $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 20;
  write("log", state.log.join("\n"));
  if (isAtEnd) $("log").scrollTop = $("log").scrollHeight;
}

function drawBars(/** @type {Job} */ job, /** @type {boolean} */ isFinal) {
  const now = job.progress ?? { event: "none" };
  const { epoch = 0, total_epochs: total = 1 } = now;
  const isTick = now.event === "tick" && !isFinal;
  const { batches, elapsed_seconds, remaining_seconds } = isTick ? now : job.tick ?? now;
  const batch = isTick ? now.batch : batches; // an epoch's end is the end of its batches
  const seconds = isFinal ? job.ended_at - (job.started_at ?? job.ended_at) : elapsed_seconds;
  const time = seconds != null && `${clock(seconds)} ${isFinal ? "in all" : "elapsed"}`;
  const left = !isFinal && remaining_seconds != null && `${clock(remaining_seconds)} left`;
  const done = isTick && batches ? epoch - 1 + batch / batches : epoch;
  fill("epochs", epoch || isFinal ? done : null, total, joined(epoch && `${epoch} of ${total}`, time, left));
  const rate = now.images_per_second && `${Math.round(now.images_per_second)} images/s`;
  fill("batches", batches ? batch : null, batches, joined(batches && `${batch} of ${batches}`, rate));
  $("bars").hidden = job.status === "queued";
  $("batch-bar").hidden = isFinal;
}

/** Set a bar and its text. @param {number|null} value null: nobody knows how far it is */
function fill(/** @type {string} */ id, value, /** @type {number} */ max, /** @type {string} */ text) {
  write(`${id}-text`, text);
  if (value === null) $(id).removeAttribute("value");
  else Object.assign($(id), { max, value });
}

function drawCharts(/** @type {number} */ total) {
  const epochs = [...state.epochs].sort(([a], [b]) => a - b);
  const last = Math.max(total, ...state.epochs.keys());
  const names = [...new Set(epochs.flatMap(([, { losses }]) => Object.keys(losses)))];
  const losses = names.map((name) => [name, epochs.map(([x, epoch]) => [x, epoch.losses[name]])]);
  const highest = Math.max(1, ...epochs.flatMap(([, epoch]) => Object.values(epoch.losses).map(Number)));
  chart("map50", [["mAP50", epochs.map(([x, epoch]) => [x, epoch.map50])]], last, 1);
  chart("loss", losses, last, highest);
}

/** Draw lines over epochs 1 to `last` and values 0 to `top`. @param {any[]} series pairs of name and [epoch, value]s */
function chart(/** @type {string} */ id, series, /** @type {number} */ last, /** @type {number} */ top) {
  const x = (/** @type {number} */ epoch) => 30 + (280 * (epoch - 1)) / Math.max(1, last - 1);
  const y = (/** @type {number} */ value) => 130 - (122 * value) / top;
  const grid = [0, top / 2, top].flatMap((value) => [
    make("line", { x1: 30, x2: 310, y1: y(value), y2: y(value) }),
    make("text", { x: 25, y: y(value) + 3, "text-anchor": "end" }, value.toFixed(1)),
  ]);
  const ends = [1, last].map((epoch) => make("text", { x: x(epoch), y: 145, "text-anchor": "middle" }, `${epoch}`));
  const lines = series.flatMap(([, points], number) => {
    const known = points.filter((/** @type {any[]} */ [, value]) => value != null)
      .map((/** @type {number[]} */ [epoch, value]) => [x(epoch), y(value)]);
    const [cx, cy] = known.at(-1) ?? [-9, -9]; // a first point makes no line: a dot shows it
    const look = { class: `series-${number % 4}` };
    return [make("polyline", { ...look, points: known.join(" ") }), make("circle", { ...look, cx, cy, r: 3 })];
  });
  const newest = series.map(([name, points]) => `${name} ${fixed(points.at(-1)[1])}`);
  $(`${id}-chart`).replaceChildren(...grid, ...ends, ...lines);
  $(`${id}-chart`).setAttribute("aria-label", `Lines over ${last} epochs, now ${newest.join(", ")}`);
  $(`${id}-legend`).replaceChildren(...newest.map((text, i) => make("li", { class: `series-${i % 4}` }, text)));
}

const fixed = (/** @type {number|null|undefined} */ value) => value?.toFixed(3) ?? "";
const joined = (/** @type {any[]} */ ...parts) => parts.filter(Boolean).join(" · ");

/** Seconds as 2:03 or 1:02:03. */
function clock(/** @type {number} */ seconds) {
  const all = Math.round(seconds);
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  return `${hours ? `${hours}:${String(minutes).padStart(2, "0")}` : minutes}:${String(all % 60).padStart(2, "0")}`;
}

onClick("demo", async () => {
  location.hash = (await post("demo")).job_id;
});
onClick("cancel", async () => {
  const job = /** @type {Job} */ (state.job);
  job.cancel_requested = (await post(`${jobPath(job.job_id)}/cancel`)).cancel_requested;
});
addEventListener("hashchange", navigate);
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, RETRY_MS);
navigate();
