/** Values of steps: plain JSON, or references to artifacts. */

import { parsedJson } from "../../common/text";
import type { RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { parseCsv } from "./csv";

export interface Artifact {
  readonly uri: string;
  readonly digest: string;
  readonly type: string;
  readonly size: number;
  readonly mediaType: string;
  readonly name: string;
}

/** The artifact that a value stands for; undefined for every other value. */
export function artifactOf(json: string): Artifact | undefined {
  // A value of megabytes is no reference.
  if (json.length > 20_000 || !json.includes('"artifact"')) return undefined;
  const value = parsedJson(json);
  if (typeof value !== "object" || value === null || Object.keys(value).length !== 1) return undefined;
  const inner = (value as Record<string, unknown>).artifact;
  if (typeof inner !== "object" || inner === null) return undefined;
  const fields = inner as Record<string, unknown>;
  const text = (name: string): string => (typeof fields[name] === "string" ? (fields[name] as string) : "");
  if (!/^sha256:[0-9a-f]{64}$/.test(text("digest"))) return undefined;
  return {
    uri: text("uri"),
    digest: text("digest"),
    type: text("type") || "file",
    size: typeof fields.size === "number" ? fields.size : 0,
    mediaType: text("media_type"),
    name: text("name"),
  };
}

/** JSON as people read it; text that is none stays as it is. */
export function pretty(json: string): string {
  if (json.length > 200_000) return json;
  const value = parsedJson(json);
  return value === undefined ? json : JSON.stringify(value, null, 2);
}

export type PreviewKind = "image" | "table" | "lines" | "markdown" | "text" | "html" | "none";

const BY_ENDING: Readonly<Record<string, [PreviewKind, string]>> = {
  png: ["image", "image/png"],
  jpg: ["image", "image/jpeg"],
  jpeg: ["image", "image/jpeg"],
  gif: ["image", "image/gif"],
  webp: ["image", "image/webp"],
  svg: ["image", "image/svg+xml"],
  csv: ["table", "text/csv"],
  tsv: ["table", "text/tab-separated-values"],
  json: ["text", "application/json"],
  jsonl: ["lines", "application/json"],
  ndjson: ["lines", "application/json"],
  md: ["markdown", "text/markdown"],
  txt: ["text", "text/plain"],
  log: ["text", "text/plain"],
  html: ["html", "text/html"],
};

const BY_TYPE: Readonly<Record<string, [PreviewKind, string]>> = {
  plot: ["image", "image/png"],
  table: ["table", "text/csv"],
  text: ["text", "text/plain"],
  metrics: ["text", "application/json"],
  list: ["lines", "application/json"],
};

/** How an artifact is shown, and as what the server is asked for it. */
export function previewOf(artifact: Artifact): { kind: PreviewKind; mediaType: string } {
  if (artifact.mediaType === "application/x-tar") return { kind: "none", mediaType: "" };
  const file = artifact.name || artifact.uri;
  const ending = /\.([a-z0-9]+)$/i.exec(file)?.[1]?.toLowerCase() ?? "";
  const [kind, mediaType] = BY_ENDING[ending] ?? BY_TYPE[artifact.type] ?? ["none", ""];
  return { kind, mediaType };
}

/** Which output an artifact is: the server reads it by this, and shows a run's own only. */
export interface Place {
  readonly runId: string;
  /** Path of the step or block; empty for an output of the run itself. */
  readonly path: string;
  readonly output: string;
}

/** Where an input comes from, as far as the run's view tells: the output of a step or block that is the same artifact. */
export function originOf(json: string, view: RunView): Place | undefined {
  const artifact = artifactOf(json);
  if (artifact === undefined) return undefined;
  const runId = view.run?.runId ?? "";
  for (const { path, outputsJson } of [...view.steps, ...view.blocks]) {
    const found = Object.entries(outputsJson).find(([, value]) => artifactOf(value)?.digest === artifact.digest);
    if (found !== undefined) return { runId, path, output: found[0] };
  }
  return undefined;
}

export function previewUrl({ runId, path, output }: Place, digest: string, mediaType: string): string {
  const wish = new URLSearchParams({ path, output, digest, type: mediaType });
  return `/preview/${encodeURIComponent(runId)}?${wish}`;
}

/** Of a table at most so many rows are shown. */
export const ROWS = 500;
const COLUMNS = 40;

export interface Table {
  readonly columns: string[];
  readonly rows: string[][];
}

/** Lines of JSON that are objects, as rows under their names; undefined when the first one is none. A last line that is cut off is left out. */
export function linesTable(text: string, most = ROWS): Table | undefined {
  const objects: Record<string, unknown>[] = [];
  for (const line of text.split("\n", most)) {
    const value = parsedJson(line);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      objects.push(value as Record<string, unknown>);
    else if (objects.length === 0) return undefined;
  }
  const columns = [...new Set(objects.flatMap((each) => Object.keys(each)))].slice(0, COLUMNS);
  const field = (value: unknown): string =>
    value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  return { columns, rows: objects.map((each) => columns.map((name) => field(each[name]))) };
}

/** Rows of a table that came as text; its first row names the columns. */
export function tableOf(text: string, mediaType: string, most = ROWS): Table {
  const [columns = [], ...rows] = parseCsv(text, mediaType === "text/tab-separated-values" ? "\t" : ",", most + 1);
  return { columns, rows };
}
