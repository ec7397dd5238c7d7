/**
 * What crosses the wire, in this page's words: all of it is what the service's OpenAPI document says, as `make types`
 * writes it to `types.d.ts`. What the page makes of it has its types below.
 *
 * @typedef {import("../types.js").components["schemas"]} Schemas
 * @typedef {Schemas["Snapshot"]} Job
 * @typedef {Schemas["JobEvent"]} JobEvent
 * @typedef {Extract<JobEvent, {seq: number}>} LoggedEvent one that is kept; the others pass by
 * @typedef {Extract<JobEvent, {event: "phase"}>} Phase what a training turned to
 * @typedef {Schemas["TickEvent"]} Tick
 * @typedef {Schemas["EpochEndEvent"]} EpochEnd
 * @typedef {Schemas["ImageEvent"]} PictureEvent
 * @typedef {Schemas["DatasetEvent"]} DatasetRead
 * @typedef {Schemas["ClassResultsEvent"]} ClassResults
 * @typedef {Schemas["ClassResult"]} ClassResult
 * @typedef {Schemas["Machine"]} Machine
 * @typedef {Schemas["BoardEvent"]} BoardEvent
 * @typedef {Schemas["EventPage"]} EventPage
 * @typedef {Schemas["JobList"]} JobList
 * @typedef {Schemas["Accepted"]} Accepted
 * @typedef {Schemas["ArtifactList"]} ArtifactList
 * @typedef {Schemas["ArtifactFile"]} Artifact
 * @typedef {Schemas["Model"]} Model
 * @typedef {Schemas["ModelList"]} ModelList
 * @typedef {Schemas["DatasetList"]} DatasetList
 * @typedef {Schemas["CheckRequest"]} CheckRequest
 * @typedef {Schemas["Checked"]} Checked
 * @typedef {Schemas["PayloadFault"]} PayloadFault
 *
 * @typedef {Pick<Checked, "splits"|"classes"|"class_count"|"warnings">} FullCensus
 * @typedef {FullCensus | Schemas["DatasetCounts"]} Census what is in a dataset; a snapshot in a list has it in short
 * @typedef {{state: "connecting"|"live"|"reconnecting"|"gone", until?: number, why?: string}} Link
 *   The connection to the service; `until` is when the next try is made, in milliseconds since 1970.
 * @typedef {Pick<PictureEvent, "path"|"name"|"kind"|"epoch"|"seq"|"width"|"height"> & {url: string}} Picture
 * @typedef {{text: string, level: string, time: number}} LogLine
 */

/** Statuses after which nothing comes, unless the job is resumed. @type {Job["status"][]} */
export const FINAL = ["completed", "failed", "cancelled"];

/** @param {Job} job */
export const isFinal = (job) => FINAL.includes(job.status);

/** Both kinds of arguments, as Ultralytics sees them. @returns {Record<string, unknown>} */
export const argumentsOf = (/** @type {Job} */ job) => ({ ...job.hyperparameters, ...job.fit_params });

/** The dataset as it was asked for; "" where nobody did. */
export const dataOf = (/** @type {Job} */ { fit_params: { data } }) => (typeof data === "string" ? data : "");
