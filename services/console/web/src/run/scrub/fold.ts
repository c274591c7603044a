/** How the steps of a run stood after an event, folded from its attempts in the page: what is shown while somebody drags. */

import { type Counts, noCounts, Status } from "../model/counts";
import { parsePath } from "../model/paths";
import type { Spans } from "../timeline/spans";

/** What is prepared once for all moments. */
export interface Folder {
  readonly spans: Spans;
  /** By span: the next attempt of the same step, or -1. */
  readonly next: Int32Array;
}

export function folder(spans: Spans): Folder {
  const next = new Int32Array(spans.count).fill(-1);
  const newest = new Map<number, number>();
  for (let at = 0; at < spans.count; at++) {
    const instance = instanceOf(spans, at);
    const before = newest.get(instance);
    if (before !== undefined) next[before] = at;
    newest.set(instance, at);
  }
  return { spans, next };
}

// A node and a cell as one number: 2^32 cells times 2^16 nodes fit into a double.
function instanceOf(spans: Spans, at: number): number {
  return (spans.node[at] as number) * 2 ** 32 + (spans.cell[at] as number);
}

/** How a step stood after an event, by the attempt that was its newest then. */
function statusAt(spans: Spans, next: Int32Array, at: number, seq: number): number {
  const end = spans.endSeq[at] as number;
  const leased = spans.leasedSeq[at] as number;
  if (end !== 0 && end <= seq) {
    const after = next[at] as number;
    // Another attempt follows: until it is ready the step waits.
    if (after >= 0 && (spans.attempt[after] as number) > (spans.attempt[at] as number)) return Status.PENDING;
    return spans.outcome[at] as number;
  }
  return leased !== 0 && leased <= seq ? Status.RUNNING : Status.READY;
}

/** By node (index as in `nodes`): how many of its instances had each status. */
export function foldAt({ spans, next }: Folder, seq: number): Counts[] {
  const counts = spans.nodes.map(noCounts);
  for (let at = 0; at < spans.count; at++) {
    if ((spans.readySeq[at] as number) > seq) break;
    const after = next[at] as number;
    if (after >= 0 && (spans.readySeq[after] as number) <= seq) continue;
    const node = counts[spans.node[at] as number] as Counts;
    const status = statusAt(spans, next, at, seq);
    node[status] = (node[status] ?? 0) + 1;
  }
  return counts;
}

/** The statuses of the cells of a foreach at a moment: of one node, or of the worst of its nodes. */
export function foldCells({ spans, next }: Folder, block: string, seq: number, into: Uint8Array): void {
  into.fill(0);
  const within = spans.blocks.map((of) => of === block);
  for (let at = 0; at < spans.count; at++) {
    if ((spans.readySeq[at] as number) > seq) break;
    if (!within[spans.node[at] as number]) continue;
    const after = next[at] as number;
    if (after >= 0 && (spans.readySeq[after] as number) <= seq) continue;
    const cell = spans.cell[at] as number;
    if (cell >= into.length) continue;
    into[cell] = worse(into[cell] as number, statusAt(spans, next, at, seq));
  }
}

const WEIGHT: Readonly<Record<number, number>> = {
  [Status.SKIPPED]: 1,
  [Status.SUCCEEDED]: 2,
  [Status.PENDING]: 3,
  [Status.READY]: 4,
  [Status.RUNNING]: 5,
  [Status.CANCELLED]: 6,
  [Status.TIMED_OUT]: 7,
  [Status.FAILED]: 8,
  [Status.QUARANTINED]: 9,
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
