/**
 * What crosses the wire, as the page reads it (docs/protocol.md has all of it).
 *
 * @typedef {Record<string, number|null>} Numbers
 * @typedef {{use: number|null, memory_used_bytes: number, memory_total_bytes: number}} Gpu
 * @typedef {{cpu: number, memory_used_bytes: number, memory_total_bytes: number, process_cpu: number,
 *   process_memory_bytes: number, gpu: Gpu|null}} Machine
 *
 * @typedef {{seq?: number, time: number, attempt: number}} Stamp in every event
 * @typedef {Stamp & {epoch: number, total_epochs: number, metrics: Numbers}} Where in every event of a training
 * @typedef {Stamp & {event: "queued", reason?: string}} Queued
 * @typedef {Where & {event: "tick", batch: number, batches: number|null, val_batch?: number|null, val_batches?: number|null,
 *   losses: Numbers, lr: Numbers, elapsed_seconds: number, remaining_seconds: number|null, images_per_second: number|null,
 *   machine?: Machine}} Tick
 * @typedef {Where & {event: "epoch_end", train_losses: Numbers, val_losses: Numbers, lr: Numbers, fitness: number|null,
 *   best_fitness: number|null, epoch_seconds: number, images_per_second: number|null, machine?: Machine}} EpochEnd
 * @typedef {Where & {event: "image", path: string, name: string, kind: string, width: number, height: number, url?: string}} PictureEvent
 * @typedef {Stamp & {event: "log", lines: string[], level?: string}} Log
 * @typedef {Where & {event: "phase", phase: string, file?: string, received_bytes?: number, total_bytes?: number|null}} Phase
 * @typedef {Where & Dataset & {event: "dataset"}} DatasetRead
 * @typedef {{name: string, images: number, instances: number, [metric: string]: number|string|null}} ClassResult
 * @typedef {Where & {event: "class_results", classes: ClassResult[]}} ClassResults
 * @typedef {Where & {event: "train_end"|"checkpoint"}} OtherOfTraining
 * @typedef {Stamp & {event: "started"|"interrupted"|"completed"|"failed"|"cancelled", reason?: string}} OtherOfJob
 * @typedef {Queued|Tick|EpochEnd|PictureEvent|Log|Phase|DatasetRead|ClassResults|OtherOfTraining|OtherOfJob} JobEvent
 * @typedef {{events: JobEvent[], last_event_id: number, last_seq: number}} EventPage
 * @typedef {{jobs: Job[], next: string|null, counts: Record<string, number>}} JobPage
 * @typedef {{datasets: {path: string, name: string, kind: string, classes: number, names: string[]}[], roots: string[], ready: string[]}} Found as `GET /datasets` answers
 * @typedef {{path?: string, name: string, url: string, size_bytes: number, modified_at: number}} Artifact
 *
 * @typedef {Tick | (Where & {event: "epoch_end"|"train_end"|"checkpoint"|"phase"|"image"|"class_results"|"dataset",
 *   elapsed_seconds?: number, remaining_seconds?: number|null, images_per_second?: number|null})} Progress the newest event that told where it stands
 * @typedef {{reason: string, evidence: string, hint: string, log_tail?: string[], exit_code?: number, signal?: string|number}} Failure
 * @typedef {{epoch: number|null, fitness: number|null, metrics: Numbers|null}} Best
 * @typedef {{job_id: string, number: number, status: "queued"|"running"|"completed"|"failed"|"cancelled", phase: string|null,
 *   reason: string|null, attempt: number, progress: Progress|null, best: Best|null, score: number|null,
 *   error: string|null, failure: Failure|null, model: string, hyperparameters: Record<string, unknown>,
 *   dataset?: Dataset|null, fit_params: Record<string, unknown> & {data?: string}, priority: number, max_runtime_seconds: number|null, save_dir: string|null, cancel_requested: boolean, stop_requested: boolean,
 *   resume: {epoch: number, epochs: number, needs_epochs: boolean}|null, queue_position?: number|null, created_at: number,
 *   started_at: number|null, ended_at: number|null, updated_at: number, last_seq: number}} Job
 * @typedef {{images: number, labelled: number, background: number, missing: number, dropped: number, corrupt: number,
 *   duplicates: number, instances: number, bad?: {file: string, reason: string}[], label_folders?: string[]}} Split
 * @typedef {{seq?: number, splits: Record<string, Split>, warnings: string[],
 *   classes?: {name: string, instances: Record<string, number>}[], class_count?: number}} Dataset
 * @typedef {{state: "connecting"|"live"|"reconnecting"|"gone", until?: number, why?: string}} Link
 *   The connection to the service; `until` is when the next try is made, in milliseconds since 1970.
 * @typedef {{path: string, url: string, name: string, kind: string, epoch: number, seq: number,
 *   width: number, height: number}} Picture
 * @typedef {{text: string, level: string, time: number}} LogLine
 */

/** Statuses after which nothing comes, unless the job is resumed. */
export const FINAL = ["completed", "failed", "cancelled"];

/** @param {Job} job */
export const isFinal = (job) => FINAL.includes(job.status);

/** Both kinds of arguments, as Ultralytics sees them. */
export const argumentsOf = (/** @type {Job} */ job) => ({ ...job.hyperparameters, ...job.fit_params });
