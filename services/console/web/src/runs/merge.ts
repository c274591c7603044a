import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import type { RunsUpdate } from "../gen/kaonapi/view/v1/watch_pb";
import type { Order } from "./search";

/** What the stream has told since the pages were read: a run as it stands, or null for one that no longer matches. */
export type Changes = ReadonlyMap<string, Run | null>;

/** Returns the changes with an update more. */
export function withUpdate(changes: Changes, update: Pick<RunsUpdate, "runs" | "removed">): Changes {
  const next = new Map(changes);
  for (const { run } of update.runs) if (run) next.set(run.runId, run);
  for (const runId of update.removed) next.set(runId, null);
  return next;
}

/**
 * Returns the pages with the changes in their places. New runs come in where the order is by submission, which ids sort by, and only
 * as far down as pages were read: further down the next page brings them.
 */
export function mergeRuns(pages: readonly Run[], changes: Changes, order: Order, complete: boolean): Run[] {
  const seen = new Set(pages.map(({ runId }) => runId));
  const kept = pages.flatMap((run) => newer(run, changes.get(run.runId)));
  if (order !== "newest" && order !== "oldest") return kept;
  const last = pages.at(-1)?.runId;
  const reaches = (runId: string) =>
    complete || last === undefined || (order === "newest" ? runId > last : runId < last);
  const added = [...changes.values()].filter(
    (run): run is Run => run !== null && !seen.has(run.runId) && reaches(run.runId),
  );
  if (added.length === 0) return kept;
  const sign = order === "newest" ? -1 : 1;
  return [...kept, ...added].sort((a, b) => (a.runId < b.runId ? -sign : sign));
}

/** A page that was read after the update counts more: its run has seen more events. */
function newer(run: Run, change: Run | null | undefined): Run[] {
  if (change === undefined) return [run];
  if (change === null) return [];
  return [change.lastSeq >= run.lastSeq ? change : run];
}
