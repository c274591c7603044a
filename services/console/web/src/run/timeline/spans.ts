/** The attempts of a run as columns: what the timeline draws, and what the scrubber folds. */

import type { GetSpansResponse } from "../../gen/kaonapi/view/v1/run_view_pb";
import { times, uint16, uint32 } from "../model/packed";

export interface Spans {
  readonly count: number;
  readonly seq: number;
  /** Folded paths of nodes ("regions[]/train"), or paths of steps outside of foreach cells. */
  readonly nodes: readonly string[];
  /** By node: the outermost foreach around it, or "". */
  readonly blocks: readonly string[];
  readonly node: Uint16Array;
  readonly cell: Uint32Array;
  readonly ready: Float64Array;
  /** 0 when no runner took it. */
  readonly leased: Float64Array;
  /** 0 when it has not ended. */
  readonly end: Float64Array;
  readonly outcome: Uint8Array;
  readonly attempt: Uint8Array;
  readonly runner: Uint16Array;
  readonly runners: readonly string[];
  /** How many attempts each stands for; empty when nothing is merged. */
  readonly merged: Uint32Array;
  readonly readySeq: Float64Array;
  /** 0 when no runner took it. */
  readonly leasedSeq: Float64Array;
  /** 0 when it has not ended. */
  readonly endSeq: Float64Array;
  /** By span: the number of its step. */
  readonly step: Uint32Array;
  /** What else changed the status of a step, in order of the events; status 0 is a reset. */
  readonly changes: { readonly seq: Uint32Array; readonly step: Uint32Array; readonly status: Uint8Array };
}

export function spansOf(response: GetSpansResponse): Spans {
  const readySeq = Float64Array.from(uint32(response.readySeq));
  const end = times(response.end, response.baseUs, response.unitUs);
  const leased = times(response.leased, response.baseUs, response.unitUs);
  return {
    count: response.count,
    seq: Number(response.seq),
    nodes: response.nodes,
    blocks: response.blocks,
    node: uint16(response.node),
    cell: uint32(response.cell),
    ready: times(response.ready, response.baseUs, response.unitUs),
    leased,
    end,
    outcome: response.outcome.slice(),
    attempt: response.attempt.slice(),
    runner: uint16(response.runner),
    runners: response.runners,
    merged: uint32(response.merged),
    readySeq,
    leasedSeq: after(readySeq, uint32(response.leasedSeq), leased),
    endSeq: after(readySeq, uint32(response.endSeq), end),
    step: uint32(response.step),
    changes: {
      seq: uint32(response.changeSeq),
      step: uint32(response.changeStep),
      status: response.changeStatus.slice(),
    },
  };
}

function after(base: Float64Array, steps: Uint32Array, came: Float64Array): Float64Array {
  return base.map((seq, at) => (came[at] === 0 ? 0 : seq + (steps[at] ?? 0)));
}

/** From the first moment to the last one, microseconds. */
export function extent(spans: Spans, nowUs: number): { from: number; until: number } {
  let from = Number.POSITIVE_INFINITY;
  let until = 0;
  for (let at = 0; at < spans.count; at++) {
    from = Math.min(from, spans.ready[at] as number);
    until = Math.max(until, (spans.end[at] as number) || nowUs);
  }
  return from === Number.POSITIVE_INFINITY ? { from: nowUs - 1_000_000, until: nowUs } : { from, until };
}

/** One row of the timeline: a node, with its attempts side by side in lanes. */
export interface Row {
  /** The path of the node without the numbers of iterations: "cycle#/train". */
  readonly label: string;
  readonly lanes: number;
  /** By lane: spans in order of their beginning. */
  readonly spans: readonly Uint32Array[];
}

/** Packs the attempts of each node into as few lanes as do not overlap; rows in the order of their beginning. */
export function rowsOf(spans: Spans, mostLanes = 256): Row[] {
  // The iterations of a repeat follow one another: they share the row of their node.
  const labels = spans.nodes.map((path) => path.replace(/#\d+/g, "#"));
  const byLabel = new Map<string, number[]>();
  for (let at = 0; at < spans.count; at++) {
    const label = labels[spans.node[at] as number] ?? "";
    const known = byLabel.get(label);
    if (known === undefined) byLabel.set(label, [at]);
    else known.push(at);
  }
  return [...byLabel].map(([label, indexes]) => rowOf(spans, label, indexes, mostLanes));
}

function rowOf(spans: Spans, label: string, indexes: readonly number[], mostLanes: number): Row {
  const began = (at: number): number => (spans.leased[at] as number) || (spans.ready[at] as number);
  const sorted = [...indexes].sort((one, other) => began(one) - began(other));
  const free: number[] = [];
  const lanes: number[][] = [];
  for (const at of sorted) {
    const lane = laneFor(free, began(at), mostLanes);
    // What has not ended keeps its lane.
    free[lane] = (spans.end[at] as number) || Number.POSITIVE_INFINITY;
    const known = lanes[lane];
    if (known === undefined) lanes[lane] = [at];
    else known.push(at);
  }
  return {
    label,
    lanes: lanes.length,
    spans: lanes.map((lane) => Uint32Array.from(lane)),
  };
}

function laneFor(free: readonly number[], began: number, most: number): number {
  let soonest = 0;
  for (let lane = 0; lane < free.length; lane++) {
    if ((free[lane] as number) <= began) return lane;
    if ((free[lane] as number) < (free[soonest] as number)) soonest = lane;
  }
  return free.length < most ? free.length : soonest;
}

/** The first span of a lane that may still be seen at a time; those before have ended. Lanes do not overlap, so ends rise, too. */
export function firstSeen(spans: Spans, lane: Uint32Array, fromUs: number): number {
  let low = 0;
  let high = lane.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const end = spans.end[lane[middle] as number] as number;
    if (end !== 0 && end < fromUs) low = middle + 1;
    else high = middle;
  }
  return low;
}
