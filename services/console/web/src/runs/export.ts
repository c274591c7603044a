import { views } from "../api/views";
import { download } from "../common/download";
import { statusLook } from "../common/status";
import { csv } from "../common/text";
import { millisOf } from "../common/time";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import { filterOf, orderOf } from "./filter";
import { MOST_EXPORTED, type RunsSearch } from "./search";

const HEAD = [
  "run",
  "workflow",
  "version",
  "status",
  "submitted",
  "started",
  "ended",
  "seconds",
  "steps",
  "succeeded",
  "submitter",
  "origin",
  "priority",
  "labels",
  "parameters",
  "error",
];

/** Returns runs as a CSV text. Times are UTC, so that files of two people agree. */
export function runsCsv(runs: readonly Run[]): string {
  return csv([HEAD, ...runs.map(rowOf)]);
}

function rowOf(run: Run): string[] {
  const start = millisOf(run.startTime);
  const end = millisOf(run.endTime);
  return [
    run.runId,
    run.workflow,
    run.version,
    statusLook(run.status).name.toLowerCase(),
    iso(millisOf(run.createTime)),
    iso(start),
    iso(end),
    start === undefined || end === undefined ? "" : ((end - start) / 1000).toFixed(3),
    String(run.stepsTotal),
    String(run.stepsSucceeded),
    run.submitter,
    run.origin,
    String(run.priority),
    pairs(run.labels, "="),
    pairs(run.paramsJson, "="),
    run.error ? `${run.error.type}: ${run.error.message}` : "",
  ];
}

function iso(millis: number | undefined): string {
  return millis === undefined ? "" : new Date(millis).toISOString();
}

function pairs(values: Readonly<Record<string, string>>, between: string): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}${between}${value}`)
    .join("; ");
}

/** Writes all runs that the filters select into a file. */
export async function exportRuns(search: RunsSearch, told: (count: number) => void): Promise<void> {
  const runs = await readAll(search, told);
  download(
    `runs-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv`,
    new Blob([runsCsv(runs)], { type: "text/csv;charset=utf-8" }),
  );
}

async function readAll(search: RunsSearch, told: (count: number) => void): Promise<Run[]> {
  const filter = filterOf(search, Date.now());
  const found: Run[] = [];
  let pageToken = "";
  do {
    const page = await views.queryRuns({ filter, order: orderOf(search), pageSize: 500, pageToken });
    found.push(...page.runs.flatMap(({ run }) => run ?? []));
    told(found.length);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && found.length < MOST_EXPORTED);
  return found.slice(0, MOST_EXPORTED);
}
