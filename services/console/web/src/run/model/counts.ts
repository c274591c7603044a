/** Numbers of things by status. */

import { statusLook } from "../../common/status";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import type { StatusCount } from "../../gen/kaonapi/view/v1/runs_pb";

export { Status };

/** By the number of the status; 0 stands for what has not begun. */
export type Counts = number[];

export const STATUSES = 14;

export function noCounts(): Counts {
  return new Array<number>(STATUSES).fill(0);
}

export function countsOf(counts: readonly StatusCount[]): Counts {
  const numbers = noCounts();
  for (const entry of counts) {
    if (entry.status < STATUSES) numbers[entry.status] = (numbers[entry.status] ?? 0) + Number(entry.count);
  }
  return numbers;
}

export function sum(counts: Counts): number {
  return counts.reduce((total, count) => total + count, 0);
}

export function addCounts(into: Counts, counts: Counts): void {
  for (let status = 0; status < STATUSES; status++) into[status] = (into[status] ?? 0) + (counts[status] ?? 0);
}

/** What is to be seen first: what has failed, then what goes on, then what waits, then how most ended. */
const BY_WEIGHT: readonly Status[] = [
  Status.QUARANTINED,
  Status.FAILED,
  Status.TIMED_OUT,
  Status.CANCELLING,
  Status.RUNNING,
  Status.SERVING,
  Status.WAITING,
  Status.READY,
  Status.PAUSED,
  Status.PENDING,
  Status.CANCELLED,
  Status.SUCCEEDED,
  Status.SKIPPED,
];

/** The status that many instances are shown under as one. */
export function worstOf(counts: Counts): Status {
  return BY_WEIGHT.find((status) => (counts[status] ?? 0) > 0) ?? Status.UNSPECIFIED;
}

const WEIGHTS = Array.from({ length: STATUSES }, (_, status) => {
  const at = BY_WEIGHT.indexOf(status);
  return at < 0 ? 0 : BY_WEIGHT.length - at;
});

/** The one of two statuses that both are shown under. */
export function worse(one: number, other: number): number {
  return (WEIGHTS[other] ?? 0) > (WEIGHTS[one] ?? 0) ? other : one;
}

/** The order in which a bar shows statuses, from the left: done, then active, then bad, then what is to come. */
export const BAR_ORDER: readonly Status[] = [
  Status.SUCCEEDED,
  Status.SKIPPED,
  Status.FAILED,
  Status.TIMED_OUT,
  Status.QUARANTINED,
  Status.CANCELLED,
  Status.CANCELLING,
  Status.RUNNING,
  Status.SERVING,
  Status.WAITING,
  Status.PAUSED,
  Status.READY,
  Status.PENDING,
  Status.UNSPECIFIED,
];

/** A part of a bar: where it begins and ends, of 1. */
export interface BarPart {
  readonly status: Status;
  readonly from: number;
  readonly to: number;
}

/** What is few is drawn this wide at least. */
const LEAST_SHARE = 0.012;

/** Divides a bar among the statuses: by their numbers, but none so narrow that it is not seen. */
export function barParts(counts: Counts): BarPart[] {
  const total = sum(counts);
  const present = BAR_ORDER.filter((status) => (counts[status] ?? 0) > 0);
  const widths = present.map((status) => Math.max(LEAST_SHARE, (counts[status] ?? 0) / total));
  const wide = widths.reduce((all, width) => all + width, 0);
  let at = 0;
  return present.map((status, index) => {
    const from = at;
    at = index === present.length - 1 ? 1 : at + (widths[index] as number) / wide;
    return { status, from, to: at };
  });
}

export function hasEnded(status: number): boolean {
  return statusLook(status).terminal;
}

const UNSUCCESSFUL: ReadonlySet<number> = new Set([
  Status.FAILED,
  Status.CANCELLED,
  Status.TIMED_OUT,
  Status.QUARANTINED,
]);

/** Whether a retry would run it again. */
export function canRetry(status: number): boolean {
  return UNSUCCESSFUL.has(status);
}
