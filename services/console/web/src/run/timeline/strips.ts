/** Lanes as they are drawn at one zoom: what cannot be told apart on the screen is joined once, not in each frame. */

import { worse } from "../model/counts";
import { firstSeen, type Row, type Spans } from "./spans";

/** An attempt of more than so many pixels is drawn by itself, with its shape. */
export const ALONE = 5;
const TOUCHING = 0.75;
const WAIT = 1.5;

/** One lane. Times are microseconds; what has not ended ends at infinity. */
export interface LaneStrips {
  readonly left: Float64Array;
  readonly right: Float64Array;
  /** Of the attempt, or the worst of those that are joined. */
  readonly outcome: Uint8Array;
  /** 1: on the critical path. */
  readonly bright: Uint8Array;
  /** 1: one attempt by itself. */
  readonly alone: Uint8Array;
  /** How long its attempts waited, joined likewise. */
  readonly waitLeft: Float64Array;
  readonly waitRight: Float64Array;
}

/** The strips of all lanes. Those of many attempts are joined once for each power of two of the zoom; of few, in each frame. */
export class Strips {
  private readonly byOctave = new Map<number, readonly (readonly LaneStrips[])[]>();

  constructor(
    private readonly spans: Spans,
    private readonly rows: readonly Row[],
    private readonly path: ReadonlySet<number> | undefined,
    private readonly few = 20_000,
  ) {}

  /** By row and lane: at least those that are seen between two times. */
  at(fromUs: number, untilUs: number, usPerPixel: number): readonly (readonly LaneStrips[])[] {
    const pixelUs = 2 ** Math.floor(Math.log2(Math.max(1, usPerPixel)));
    const known = this.byOctave.get(pixelUs);
    if (known !== undefined) return known;
    const seen = this.rows.map((row) => row.spans.map((lane) => this.seen(lane, fromUs, untilUs)));
    const count = seen.flat().reduce((sum, lane) => sum + lane.length, 0);
    const lanes = count <= this.few ? seen : this.rows.map((row) => row.spans);
    const found = lanes.map((row) => row.map((lane) => stripsOf(this.spans, lane, pixelUs, this.path)));
    if (count > this.few) this.byOctave.set(pixelUs, found);
    return found;
  }

  private seen(lane: Uint32Array, fromUs: number, untilUs: number): Uint32Array {
    const first = firstSeen(this.spans, lane, fromUs);
    let last = first;
    let beyond = lane.length;
    // Attempts of a lane are in order of their beginning.
    while (last < beyond) {
      const middle = (last + beyond) >> 1;
      if ((this.spans.ready[lane[middle] as number] as number) <= untilUs) last = middle + 1;
      else beyond = middle;
    }
    return lane.subarray(first, last);
  }
}

/** Columns that grow with the largest lane; what is kept of a lane is copied out of them. */
let columns = scratch(1024);

function scratch(length: number) {
  return {
    left: new Float64Array(length),
    right: new Float64Array(length),
    outcome: new Uint8Array(length),
    bright: new Uint8Array(length),
    alone: new Uint8Array(length),
    waitLeft: new Float64Array(length),
    waitRight: new Float64Array(length),
  };
}

/** Joins the attempts of a lane that touch where a pixel is so many microseconds. */
export function stripsOf(
  spans: Spans,
  lane: Uint32Array,
  pixelUs: number,
  path: ReadonlySet<number> | undefined,
): LaneStrips {
  if (columns.left.length < lane.length) columns = scratch(lane.length * 2);
  const { left, right, outcome, bright, alone, waitLeft, waitRight } = columns;
  let last = -1;
  let lastWait = -1;
  for (const span of lane) {
    const ready = spans.ready[span] as number;
    const until = (spans.end[span] as number) || Number.POSITIVE_INFINITY;
    const from = (spans.leased[span] as number) || until;
    if (from - ready > WAIT * pixelUs) {
      if (lastWait < 0 || ready - (waitRight[lastWait] as number) >= TOUCHING * pixelUs) {
        lastWait += 1;
        waitLeft[lastWait] = ready;
        waitRight[lastWait] = from;
      } else waitRight[lastWait] = Math.max(waitRight[lastWait] as number, from);
    }
    const status = spans.outcome[span] as number;
    const shines = path === undefined || path.has(span) ? 1 : 0;
    const single = until === Number.POSITIVE_INFINITY || until - from > ALONE * pixelUs ? 1 : 0;
    const touches =
      last >= 0 && single + (alone[last] as number) === 0 && from - (right[last] as number) < TOUCHING * pixelUs;
    const same = touches && outcome[last] === status && bright[last] === shines;
    if (same || (touches && (right[last] as number) - (left[last] as number) < pixelUs)) {
      // Of several in one pixel the worst is to be seen.
      outcome[last] = worse(outcome[last] as number, status);
      bright[last] = Math.max(bright[last] as number, shines);
      right[last] = Math.max(right[last] as number, until);
      continue;
    }
    last += 1;
    left[last] = from;
    right[last] = until;
    outcome[last] = status;
    bright[last] = shines;
    alone[last] = single;
  }
  return {
    left: left.slice(0, last + 1),
    right: right.slice(0, last + 1),
    outcome: outcome.slice(0, last + 1),
    bright: bright.slice(0, last + 1),
    alone: alone.slice(0, last + 1),
    waitLeft: waitLeft.slice(0, lastWait + 1),
    waitRight: waitRight.slice(0, lastWait + 1),
  };
}

/** The first strip that ends at a time or later: lanes do not overlap, so ends rise. */
export function firstFrom(right: Float64Array, fromUs: number): number {
  let low = 0;
  let high = right.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((right[middle] as number) < fromUs) low = middle + 1;
    else high = middle;
  }
  return low;
}
