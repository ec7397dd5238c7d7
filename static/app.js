/**
 * The page: a list of jobs, or one job live. `state` is all there is to know, `draw` puts it on the screen.
 * What comes from the service is shown as text, never as HTML.
 */

/**
 * @typedef {Object<string, number|null>} Numbers
 * @typedef {{seq?: number, event: string, epoch?: number, metrics?: Numbers, [field: string]: any}} Event
 * @typedef {{job_id: string, status: string, last_seq: number, progress: Event|null, [field: string]: any}} Job
 * @typedef {{map50: number|null, losses: Numbers}} Epoch
 */

const MAP50 = "metrics/mAP50(B)";
const FINAL = new Set(["completed", "failed", "cancelled"]);
const TYPES = [
  "queued", "started", "phase", "tick", "epoch_end", "checkpoint", "image", "log", "train_end", "interrupted", ...FINAL,
];
const LOG_LINES = 200;
const RETRY_MS = 3000;

const state = {
  /** @type {string|null} The job that is shown; null: the list. */
  id: null,
  /** @type {Job[]|null} */
  jobs: null,
  /** @type {Job|null} */
  job: null,
  /** @type {Map<number, Epoch>} */
  epochs: new Map(),
  /** @type {string[]} */
  log: [],
  /** @type {string[]} Last log lines before a failure. */
  tail: [],
  /** Number of the newest event that was taken. */
  seen: 0,
  /** @type {"connecting"|"live"|"reconnecting"|"ended"} */
  connection: "connecting",
  /** What went wrong with the last request. */
  note: "",
};

/** @type {EventSource|null} */
let stream = null;
let retry = 0;
let drawn = true;

// Requests

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<any>} the answer's JSON; an Error with the problem's detail (and `status`) otherwise
 */
async function ask(path, options) {
  const answer = await fetch(path, options).catch(() => {
    throw new Error("The service does not answer.");
  });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  throw Object.assign(new Error(body.detail ?? `The service answered ${answer.status}.`), { status: answer.status });
}

/** @param {string} path */
const post = (path) => ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });

/** @param {string} id */
const jobPath = (id) => `jobs/${encodeURIComponent(id)}`;

/** Read what no stream brings: the list, and a waiting job's place in the queue. */
async function refresh() {
  if (document.hidden) return;
  const { id, job } = state;
  if (id !== null && job?.status !== "queued") return;
  try {
    const answer = await ask(id === null ? "jobs?limit=50" : jobPath(id));
    if (id !== state.id) return;
    if (id === null) state.jobs = answer.jobs;
    else if (state.job?.status === "queued") state.job.queue_position = answer.queue_position;
    state.note = "";
  } catch (error) {
    state.note = error.message;
  }
  redraw();
}

/** @param {HTMLButtonElement} button @param {() => Promise<void>} action */
function onClick(button, action) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    state.note = "";
    await action().catch((error) => (state.note = error.message));
    button.disabled = false;
    redraw();
  });
}

// The stream

/** Show what the address names. */
function navigate() {
  const id = decodeURIComponent(location.hash.slice(1)) || null;
  disconnect();
  Object.assign(state, { id, job: null, epochs: new Map(), log: [], tail: [], seen: 0, note: "" });
  $("log-box").open = true;
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
  disconnect();
  state.connection = state.job === null ? "connecting" : "reconnecting";
  try {
    const job = await ask(jobPath(id));
    if (id !== state.id) return;
    Object.assign(state, { job, note: "" });
    if (FINAL.has(job.status) && state.seen === job.last_seq) state.connection = "ended";
    else connect(id);
  } catch (error) {
    if (id !== state.id) return;
    state.note = error.status === 404 ? `There is no job ${id}.` : error.message;
    if (error.status !== 404) retry = setTimeout(follow, RETRY_MS, id);
  }
  redraw();
}

function connect(/** @type {string} */ id) {
  const source = (stream = new EventSource(`${jobPath(id)}/events?last_event_id=${state.seen}`));
  source.onopen = () => {
    state.connection = "live";
    redraw();
  };
  source.onerror = () => {
    if (source !== stream) return;
    state.connection = "reconnecting";
    // Closed: the browser has given up, or there is nothing more (204). The snapshot tells which.
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(follow, RETRY_MS, id);
    redraw();
  };
  for (const type of TYPES) source.addEventListener(type, (message) => take(JSON.parse(message.data)));
  source.addEventListener("reset", () => {
    // The log is another one than we knew: it follows from its beginning.
    Object.assign(state, { epochs: new Map(), log: [], tail: [], seen: 0 });
    if (state.job) state.job.last_seq = 0;
  });
}

/** @param {Event} event */
function take(event) {
  const job = state.job;
  if (event.event === "epoch_end") {
    state.epochs.set(event.epoch, { map50: event.metrics[MAP50] ?? null, losses: event.train_losses ?? {} });
  } else if (event.event === "log") {
    state.log = [...state.log, ...event.lines].slice(-LOG_LINES);
  } else if (event.event === "failed") {
    state.tail = event.log_tail ?? [];
    $("log-box").open = false; // its end stands in the failure already
  }
  state.seen = event.seq ?? state.seen;
  // The snapshot knows what the events up to its own number say.
  if (event.seq === undefined || event.seq > job.last_seq) {
    Object.assign(job, CHANGES[event.event]?.(event), { last_seq: state.seen });
  }
  if (FINAL.has(event.event) && event.seq >= job.last_seq) {
    disconnect();
    state.connection = "ended";
  }
  redraw();
}

/** @param {Event} event */
const progress = (event) => ({ progress: event, phase: "training" });
/** @param {Event} event */
const end = ({ event, time, reason = null, error = null, failure = null }) => ({
  status: event, phase: null, ended_at: time, reason, error, failure,
});

/** What an event changes in a job's snapshot. @type {Object<string, (event: Event) => Object<string, any>>} */
const CHANGES = {
  queued: (event) => ({
    status: "queued", attempt: event.attempt, phase: null, reason: null, error: null, failure: null,
    started_at: null, ended_at: null, cancel_requested: false,
  }),
  started: (event) => ({ status: "running", phase: "starting", started_at: event.time, queue_position: null }),
  phase: (event) => ({ phase: event.phase }),
  tick: progress,
  epoch_end: progress,
  train_end: (event) => ({ progress: event, phase: "finishing" }),
  completed: end,
  failed: end,
  cancelled: end,
};

// Drawing

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** Set a text only where it changes: a live region would say it again. */
function write(/** @type {string} */ id, /** @type {string} */ text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

/** An element with children; a string becomes text. */
function make(/** @type {string} */ tag, /** @type {Object<string, string|number>} */ attributes, /** @type {any[]} */ ...children) {
  const isSvg = ["line", "polyline", "circle", "text"].includes(tag);
  const element = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

function redraw() {
  if (drawn) requestAnimationFrame(draw);
  drawn = false;
}

function draw() {
  drawn = true;
  const { id, job, jobs } = state;
  $("note").hidden = !state.note;
  write("note", state.note);
  $("list").hidden = id !== null || jobs === null;
  $("job").hidden = job === null;
  document.title = job ? `${job.status} · ${job.job_id}` : "YOLO trainer";
  if (job) drawJob(job);
  else if (id === null && jobs) drawList(jobs);
}

function drawList(/** @type {Job[]} */ jobs) {
  $("empty").hidden = jobs.length > 0;
  $("table").hidden = jobs.length === 0;
  const rows = jobs.map((job) => {
    const { epoch, total_epochs: total } = job.progress ?? {};
    return make("tr", {},
      make("td", {}, make("a", { href: `#${encodeURIComponent(job.job_id)}` }, make("code", {}, job.job_id))),
      make("td", {}, make("span", { class: "status", "data-status": job.status }, job.status)),
      make("td", { class: "number" }, epoch ? `${epoch}/${total}` : ""),
      make("td", { class: "number" }, fixed(job.progress?.metrics[MAP50])),
      make("td", { class: "wide" }, job.model),
      make("td", { class: "wide" }, new Date(job.created_at * 1000).toLocaleString()),
    );
  });
  const focused = document.activeElement?.getAttribute("href");
  $("rows").replaceChildren(...rows);
  if (focused) $("rows").querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function drawJob(/** @type {Job} */ job) {
  const isFinal = FINAL.has(job.status);
  write("job-id", job.job_id);
  write("status", statusText(job));
  $("status").dataset.status = job.status;
  write("connection", state.connection);
  $("connection").dataset.state = state.connection;
  write("facts", [job.model, job.fit_params?.data, job.save_dir].filter(Boolean).join(" · "));
  $("cancel").hidden = isFinal;
  $("cancel").textContent = job.cancel_requested ? "Cancelling…" : "Cancel";
  drawBars(job, isFinal);
  $("failure").hidden = job.status !== "failed";
  write("failure-text", job.failure?.evidence ?? job.error ?? "");
  write("failure-hint", job.failure?.hint ?? "");
  write("failure-log", state.tail.join("\n"));
  $("charts").hidden = state.epochs.size === 0;
  if (state.epochs.size) drawCharts(job.progress?.total_epochs ?? 0);
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 20;
  write("log", state.log.join("\n"));
  if (atEnd) log.scrollTop = log.scrollHeight;
}

/** @param {Job} job */
function statusText({ status, phase, reason, queue_position: position, cancel_requested: cancelling }) {
  const detail = { queued: position && `place ${position} in the queue`, running: cancelling ? "cancelling" : phase };
  return [status, detail[status] ?? (reason === status ? null : reason)].filter(Boolean).join(", ").replaceAll("_", " ");
}

function drawBars(/** @type {Job} */ job, /** @type {boolean} */ isFinal) {
  const { event, epoch = 0, total_epochs: total, batch, batches, ...now } = job.progress ?? {};
  const isTick = event === "tick" && !isFinal;
  const done = isTick ? epoch - 1 + (batches ? batch / batches : 0) : epoch;
  fill("epochs", epoch ? done : isFinal ? 0 : null, total ?? 1);
  const seconds = isFinal ? job.ended_at - job.started_at : now.elapsed_seconds;
  write("epochs-text", [
    epoch && `${epoch} of ${total}`,
    job.started_at && seconds !== undefined && (isFinal ? `took ${clock(seconds)}` : `${clock(seconds)} elapsed`),
    isTick && now.remaining_seconds != null && `about ${clock(now.remaining_seconds)} left`,
  ].filter(Boolean).join(" · "));
  for (const name of ["batches", "batches-label", "batches-text"]) $(name).hidden = isFinal;
  fill("batches", isTick ? batches && batch : epoch ? 1 : null, isTick ? batches : 1);
  write("batches-text", [
    isTick && batches && `${batch} of ${batches}`,
    now.images_per_second && `${Math.round(now.images_per_second)} images/s`,
  ].filter(Boolean).join(" · "));
}

/** Set a bar; null: nobody knows how far it is. */
function fill(/** @type {string} */ id, /** @type {number|null|undefined} */ value, /** @type {number} */ max) {
  if (value == null) return $(id).removeAttribute("value");
  $(id).max = max;
  $(id).value = value;
}

function drawCharts(/** @type {number} */ total) {
  const epochs = [...state.epochs].sort(([a], [b]) => a - b);
  const last = Math.max(total, epochs[epochs.length - 1][0]);
  const names = [...new Set(epochs.flatMap(([, epoch]) => Object.keys(epoch.losses)))];
  chart("map50", { mAP50: epochs.map(([x, epoch]) => [x, epoch.map50]) }, last, 1);
  const losses = Object.fromEntries(names.map((name) => [name, epochs.map(([x, epoch]) => [x, epoch.losses[name]])]));
  chart("loss", losses, last, Math.max(1, ...epochs.flatMap(([, epoch]) => Object.values(epoch.losses))));
}

/** Lines over epochs 1 to `last`, from 0 to `top`. @param {Object<string, (number|null)[][]>} series */
function chart(/** @type {string} */ name, series, /** @type {number} */ last, /** @type {number} */ top) {
  const x = (epoch) => 30 + (last > 1 ? (280 * (epoch - 1)) / (last - 1) : 140);
  const y = (value) => 130 - (122 * value) / top;
  const grid = [0, top / 2, top].flatMap((value) => [
    make("line", { x1: 30, x2: 310, y1: y(value), y2: y(value) }),
    make("text", { x: 25, y: y(value) + 3, "text-anchor": "end" }, value ? value.toFixed(1) : "0"),
  ]);
  const ends = [...new Set([1, last])].map((epoch) => make("text", { x: x(epoch), y: 145, "text-anchor": "middle" }, epoch));
  const lines = Object.values(series).flatMap((points, number) => {
    const known = points.filter(([, value]) => value != null).map(([epoch, value]) => [x(epoch), y(value)]);
    const [cx, cy] = known[known.length - 1] ?? [0, 0];
    const line = make("polyline", { class: `series-${number % 4}`, points: known.join(" ") });
    return known.length ? [line, make("circle", { class: `series-${number % 4}`, cx, cy, r: 3 })] : [];
  });
  const newest = Object.entries(series).map(([key, points]) => `${key} ${fixed(points[points.length - 1][1])}`);
  $(`${name}-chart`).replaceChildren(...grid, ...ends, ...lines);
  $(`${name}-chart`).setAttribute("aria-label", `Line chart up to epoch ${last}; now ${newest.join(", ")}`);
  $(`${name}-legend`).replaceChildren(...newest.map((text, number) => make("li", { class: `series-${number % 4}` }, text)));
}

/** @param {number|null|undefined} value */
const fixed = (value) => (value == null ? "" : value.toFixed(3));

/** Seconds as 1:02:03 or 2:03. @param {number} seconds */
function clock(seconds) {
  const all = Math.round(seconds);
  const parts = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  return (parts[0] ? parts : parts.slice(1)).map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
}

onClick($("demo"), async () => {
  location.hash = (await post("demo")).job_id;
});
onClick($("cancel"), async () => {
  const job = await post(`${jobPath(state.id ?? "")}/cancel`);
  if (state.job && !FINAL.has(state.job.status)) state.job.cancel_requested = job.cancel_requested;
});
addEventListener("hashchange", navigate);
document.addEventListener("visibilitychange", refresh);
setInterval(refresh, RETRY_MS);
navigate();
