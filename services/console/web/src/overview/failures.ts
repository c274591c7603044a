import { millisOf } from "../common/time";
import { type Run, Status } from "../gen/kaonapi/run/v1/run_pb";

/** The failed runs of one workflow that failed the same way. */
export interface FailureGroup {
  readonly workflow: string;
  readonly type: string;
  readonly message: string;
  /** Newest first. */
  readonly runs: readonly Run[];
  /** A step is suspected of killing its runners. */
  readonly quarantined: boolean;
}

const QUARANTINED = "LostRunners";

/** Groups failed runs by workflow and kind of error; the group with the newest failure comes first. */
export function groupFailures(failed: readonly Run[]): FailureGroup[] {
  const groups = new Map<string, Run[]>();
  for (const run of failed) {
    const key = `${run.workflow} ${typeOf(run)}`;
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()]
    .map((runs) => runs.sort((a, b) => endOf(b) - endOf(a)))
    .sort((a, b) => endOf(b[0]!) - endOf(a[0]!))
    .map((runs) => ({
      workflow: runs[0]!.workflow,
      type: typeOf(runs[0]!),
      message: runs[0]!.error?.message ?? "",
      runs,
      quarantined: typeOf(runs[0]!) === QUARANTINED,
    }));
}

function typeOf(run: Run): string {
  return run.error?.type || (run.status === Status.TIMED_OUT ? "Timeout" : "Failed");
}

function endOf(run: Run): number {
  return millisOf(run.endTime) ?? millisOf(run.createTime) ?? 0;
}

/** Groups late runs by workflow; the one that has been going for longest comes first in each. */
export function groupLate(late: readonly Run[]): { workflow: string; runs: readonly Run[] }[] {
  const groups = new Map<string, Run[]>();
  for (const run of late) groups.set(run.workflow, [...(groups.get(run.workflow) ?? []), run]);
  const startOf = (run: Run) => millisOf(run.startTime) ?? 0;
  return [...groups].map(([workflow, runs]) => ({ workflow, runs: runs.sort((a, b) => startOf(a) - startOf(b)) }));
}

/** The newest runs of one workflow, for a strip of marks. */
export interface Strip {
  readonly workflow: string;
  /** Newest first. */
  readonly runs: readonly Run[];
  /** Share of the ended runs that succeeded; undefined while none has ended. */
  readonly success: number | undefined;
  /** The middle one of their durations, milliseconds. */
  readonly median: number | undefined;
}

/** Returns a strip for each workflow that has runs; the one with the newest run comes first. Runs are given newest first. */
export function stripsOf(runs: readonly Run[], most: number): Strip[] {
  const groups = new Map<string, Run[]>();
  for (const run of runs) groups.set(run.workflow, [...(groups.get(run.workflow) ?? []), run]);
  return [...groups].map(([workflow, found]) => {
    const newest = found.slice(0, most);
    const ended = newest.filter(({ endTime }) => endTime !== undefined);
    const good = ended.filter(({ status }) => status === Status.SUCCEEDED);
    return {
      workflow,
      runs: newest,
      success: ended.length === 0 ? undefined : good.length / ended.length,
      median: middle(good.flatMap(durationOf)),
    };
  });
}

function durationOf(run: Run): number[] {
  const start = millisOf(run.startTime);
  const end = millisOf(run.endTime);
  return start === undefined || end === undefined ? [] : [end - start];
}

function middle(values: number[]): number | undefined {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
