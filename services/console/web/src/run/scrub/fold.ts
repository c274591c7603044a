/** How the steps of a run stood after an event, folded from its attempts in the page: what is shown while somebody drags. */

import { type Counts, noCounts, Status } from "../model/counts";
import { parsePath } from "../model/paths";
import type { Spans } from "../timeline/spans";

/** What is prepared once for all moments. */
export interface Folder {
  readonly spans: Spans;
  /** By span: the next one of the same step, or -1. */
  readonly next: Int32Array;
  /** By span: the first change of its step that came after it became ready and before the next one did, or -1. */
  readonly changed: Int32Array;
  /** By change: the next one of the same span, or -1. */
  readonly then: Int32Array;
}

export function folder(spans: Spans): Folder {
  const { changes, count, step } = spans;
  const next = new Int32Array(count).fill(-1);
  const changed = new Int32Array(count).fill(-1);
  const then = new Int32Array(changes.seq.length).fill(-1);
  const newest = new Map<number, number>();
  const lastOf = new Map<number, number>();
  let change = 0;
  // Both in order of the events: each change belongs to the span that is the newest of its step by then.
  const take = (before: number): void => {
    for (; change < changes.seq.length && (changes.seq[change] as number) < before; change++) {
      const span = newest.get(changes.step[change] as number);
      if (span === undefined) continue;
      const last = lastOf.get(span);
      if (last === undefined) changed[span] = change;
      else then[last] = change;
      lastOf.set(span, change);
    }
  };
  for (let at = 0; at < count; at++) {
    take(spans.readySeq[at] as number);
    const before = newest.get(step[at] as number);
    if (before !== undefined) next[before] = at;
    newest.set(step[at] as number, at);
  }
  take(Number.POSITIVE_INFINITY);
  return { spans, next, changed, then };
}

/** How a step stood after an event, by the attempt that was its newest then; 0 when it was reset and had not begun again. */
function statusAt({ spans, changed, then }: Folder, at: number, seq: number): number {
  const end = spans.endSeq[at] as number;
  const leased = spans.leasedSeq[at] as number;
  let since = spans.readySeq[at] as number;
  let status: number = Status.READY;
  if (end !== 0 && end <= seq) {
    since = end;
    status = spans.outcome[at] as number;
  } else if (leased !== 0 && leased <= seq) {
    since = leased;
    status = Status.RUNNING;
  }
  for (let change = changed[at] as number; change >= 0; change = then[change] as number) {
    const when = spans.changes.seq[change] as number;
    if (when > seq) break;
    if (when >= since) status = spans.changes.status[change] as number;
  }
  return status;
}

/** By node (index as in `nodes`): how many of its instances had each status. */
export function foldAt(fold: Folder, seq: number): Counts[] {
  const { spans, next } = fold;
  const counts = spans.nodes.map(noCounts);
  for (let at = 0; at < spans.count; at++) {
    if ((spans.readySeq[at] as number) > seq) break;
    const after = next[at] as number;
    if (after >= 0 && (spans.readySeq[after] as number) <= seq) continue;
    const status = statusAt(fold, at, seq);
    if (status === Status.UNSPECIFIED) continue;
    const node = counts[spans.node[at] as number] as Counts;
    node[status] = (node[status] ?? 0) + 1;
  }
  return counts;
}

/** The statuses of the cells of a foreach at a moment: of one node, or of the worst of its nodes. */
export function foldCells(fold: Folder, block: string, seq: number, into: Uint8Array): void {
  const { spans, next } = fold;
  into.fill(0);
  const within = spans.blocks.map((of) => of === block);
  for (let at = 0; at < spans.count; at++) {
    if ((spans.readySeq[at] as number) > seq) break;
    if (!within[spans.node[at] as number]) continue;
    const after = next[at] as number;
    if (after >= 0 && (spans.readySeq[after] as number) <= seq) continue;
    const cell = spans.cell[at] as number;
    if (cell >= into.length) continue;
    into[cell] = worse(into[cell] as number, statusAt(fold, at, seq));
  }
}

const WEIGHT: Readonly<Record<number, number>> = {
  [Status.SKIPPED]: 1,
  [Status.SUCCEEDED]: 2,
  [Status.PENDING]: 3,
  [Status.READY]: 4,
  [Status.SERVING]: 5,
  [Status.RUNNING]: 6,
  [Status.CANCELLED]: 7,
  [Status.TIMED_OUT]: 8,
  [Status.FAILED]: 9,
  [Status.QUARANTINED]: 10,
};

function worse(one: number, other: number): number {
  return (WEIGHT[other] ?? 0) > (WEIGHT[one] ?? 0) ? other : one;
}

/** The time of the newest attempt's change at or before an event: where the cursor of the timeline stands. */
export function timeOf(spans: Spans, seq: number): number {
  let time = spans.count > 0 ? (spans.ready[0] as number) : 0;
  let found = 0;
  const look = (at: number, seqs: Float64Array, timesOf: Float64Array): void => {
    const of = seqs[at] as number;
    if (of !== 0 && of <= seq && of > found) {
      found = of;
      time = timesOf[at] as number;
    }
  };
  for (let at = 0; at < spans.count; at++) {
    if ((spans.readySeq[at] as number) > seq) break;
    look(at, spans.readySeq, spans.ready);
    look(at, spans.leasedSeq, spans.leased);
    look(at, spans.endSeq, spans.end);
  }
  return time;
}

/** By name of the node: its counts over the passes that are shown; of the newest pass that had begun where none is chosen. */
export function countsByName(spans: Spans, counts: readonly Counts[]): Map<string, Counts> {
  const byName = new Map<string, { order: string; counts: Counts }>();
  spans.nodes.forEach((path, node) => {
    const found = counts[node] as Counts;
    if (found.every((count) => count === 0)) return;
    const segments = parsePath(path);
    const name = segments.at(-1)?.name ?? path;
    const order = segments
      .map((segment) => (segment.cell.startsWith("#") ? segment.cell.slice(1).padStart(9, "0") : ""))
      .join("/");
    const known = byName.get(name);
    if (known === undefined || known.order < order) byName.set(name, { order, counts: found });
  });
  return new Map([...byName].map(([name, entry]) => [name, entry.counts]));
}
