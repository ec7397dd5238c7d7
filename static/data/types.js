/**
 * What crosses the wire, as the page reads it (docs/protocol.md has all of it).
 *
 * @typedef {Record<string, number|null>} Numbers
 * @typedef {{event: string, seq?: number, time: number, attempt: number, [field: string]: any}} JobEvent
 * @typedef {{epoch: number|null, fitness: number|null, metrics: Numbers|null}} Best
 * @typedef {{job_id: string, number: number, status: "queued"|"running"|"completed"|"failed"|"cancelled", phase: string|null,
 *   reason: string|null, attempt: number, progress: JobEvent|null, best: Best|null, score: number|null,
 *   error: string|null, failure: Record<string, any>|null, model: string, hyperparameters: Record<string, any>,
 *   dataset?: Dataset|null, fit_params: Record<string, any>, priority: number, max_runtime_seconds: number|null, save_dir: string|null, cancel_requested: boolean, stop_requested: boolean,
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
