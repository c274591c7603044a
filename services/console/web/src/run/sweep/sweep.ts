/** Trials of a sweep as numbers that can be drawn. */

import { millisOf } from "../../common/time";
import type { CellView } from "../../gen/kaonapi/view/v1/cells_pb";
import { type EarlyStopping, type ForEach, Goal } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { Status } from "../model/counts";
import type { GraphNode } from "../model/graph";

/** The foreach over a search space that a node is; undefined when it is none. */
export function sweepOf(node: GraphNode): ForEach | undefined {
  const kind = node.block.kind;
  return kind.case === "forEach" && kind.value.sweep !== undefined ? kind.value : undefined;
}

export interface Trial {
  readonly index: number;
  readonly path: string;
  readonly status: Status;
  /** Stopped because others were better. */
  readonly stopped: boolean;
  /** By axis: the value, as in the item. */
  readonly point: Readonly<Record<string, unknown>>;
  readonly metric: number | undefined;
  /** When it ended, milliseconds; undefined before. */
  readonly endedAt: number | undefined;
}

export function trialOf(cell: CellView): Trial {
  return {
    index: Number(cell.index),
    path: cell.path,
    status: cell.status,
    stopped: cell.status === Status.SKIPPED,
    point: pointOf(cell.itemJson),
    metric: cell.metric !== undefined && Number.isFinite(cell.metric) ? cell.metric : undefined,
    endedAt: millisOf(cell.endTime),
  };
}

function pointOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {};
  } catch {
    // An item that was cut is no point that could be drawn.
    return {};
  }
}

/** One axis: numbers along a scale, or names one under the other. */
export interface Axis {
  readonly name: string;
  /** Empty: numbers. */
  readonly names: readonly string[];
  readonly low: number;
  readonly high: number;
  readonly log: boolean;
}

export function axesOf(trials: readonly Trial[], metric: string): Axis[] {
  const names = [...new Set(trials.flatMap((trial) => Object.keys(trial.point)))].sort();
  const axes = names.map((name) =>
    axisOf(
      name,
      trials.map((trial) => trial.point[name]),
    ),
  );
  const values = trials.flatMap((trial) => trial.metric ?? []);
  return values.length === 0 ? axes : [...axes, axisOf(metric, values)];
}

function axisOf(name: string, values: readonly unknown[]): Axis {
  const known = values.filter((value) => value !== undefined && value !== null);
  if (known.length > 0 && known.every((value) => typeof value === "number" && Number.isFinite(value))) {
    const numbers = known as number[];
    const low = Math.min(...numbers);
    const high = Math.max(...numbers);
    return { name, names: [], low, high, log: low > 0 && high / low >= 50 };
  }
  const texts = [...new Set(known.map(textOf))].sort();
  return { name, names: texts, low: 0, high: Math.max(1, texts.length - 1), log: false };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Where a value stands on its axis, from 0 (low) to 1; undefined when it has none. */
export function placeOn(axis: Axis, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (axis.names.length > 0) {
    const at = axis.names.indexOf(textOf(value));
    return at < 0 ? undefined : axis.names.length === 1 ? 0.5 : at / (axis.names.length - 1);
  }
  if (typeof value !== "number") return undefined;
  if (axis.high === axis.low) return 0.5;
  if (axis.log) return Math.log(value / axis.low) / Math.log(axis.high / axis.low);
  return (value - axis.low) / (axis.high - axis.low);
}

/** What stands at a place of an axis, for its ticks. */
export function valueAt(axis: Axis, place: number): number {
  if (axis.log) return axis.low * (axis.high / axis.low) ** place;
  return axis.low + place * (axis.high - axis.low);
}

export function trialValue(trial: Trial, axis: Axis, metric: string): unknown {
  return axis.name === metric ? trial.metric : trial.point[axis.name];
}

/** By name of the axis: from and to, as places. */
export type Brushes = Readonly<Record<string, readonly [number, number]>>;

/** Whether a trial lies within everything that is brushed. */
export function brushed(trial: Trial, axes: readonly Axis[], metric: string, brushes: Brushes): boolean {
  return axes.every((axis) => {
    const brush = brushes[axis.name];
    if (brush === undefined) return true;
    const place = placeOn(axis, trialValue(trial, axis, metric));
    return place !== undefined && place >= brush[0] - 1e-9 && place <= brush[1] + 1e-9;
  });
}

/** By so much of an axis a key moves an end of what is kept. */
const STEP = 0.05;

/** What is kept after a key at one of its ends; undefined for a key that is none of the slider's. Escape keeps all. */
export function brushAfter(brush: readonly [number, number], end: 0 | 1, key: string): [number, number] | undefined {
  if (key === "Escape") return [0, 1];
  const by = {
    ArrowUp: STEP,
    ArrowRight: STEP,
    ArrowDown: -STEP,
    ArrowLeft: -STEP,
    PageUp: 4 * STEP,
    PageDown: -4 * STEP,
  }[key];
  const to = key === "Home" ? 0 : key === "End" ? 1 : by === undefined ? undefined : brush[end] + by;
  if (to === undefined) return undefined;
  return end === 0 ? [Math.min(brush[1], Math.max(0, to)), brush[1]] : [brush[0], Math.max(brush[0], Math.min(1, to))];
}

export function isBetter(one: number, other: number, goal: Goal): boolean {
  return goal === Goal.MAXIMIZE ? one > other : one < other;
}

export function bestOf(trials: readonly Trial[], goal: Goal): Trial | undefined {
  let best: Trial | undefined;
  for (const trial of trials) {
    if (trial.metric === undefined || trial.stopped) continue;
    if (best?.metric === undefined || isBetter(trial.metric, best.metric, goal)) best = trial;
  }
  return best;
}

/** The best value so far, in the order in which trials ended. */
export function bestSoFar(trials: readonly Trial[], goal: Goal): { at: number; metric: number; best: number }[] {
  const ended = trials
    .filter((trial) => trial.endedAt !== undefined && trial.metric !== undefined)
    .sort((one, other) => (one.endedAt as number) - (other.endedAt as number));
  let best: number | undefined;
  return ended.map((trial, at) => {
    const metric = trial.metric as number;
    if (best === undefined || isBetter(metric, best, goal)) best = metric;
    return { at: at + 1, metric, best };
  });
}

/** How strongly the metric goes with an axis: the square of the rank correlation, or the share of variance between the names. */
export function importance(trials: readonly Trial[], axis: Axis, metric: string): number | undefined {
  const pairs = trials.flatMap((trial) => {
    const place = placeOn(axis, trialValue(trial, axis, metric));
    return place === undefined || trial.metric === undefined ? [] : [[place, trial.metric] as const];
  });
  if (pairs.length < 4) return undefined;
  if (axis.names.length > 0 || new Set(pairs.map(([place]) => place)).size <= 4) return between(pairs);
  const xs = ranks(pairs.map(([place]) => place));
  const ys = ranks(pairs.map(([, value]) => value));
  return correlation(xs, ys) ** 2;
}

function between(pairs: readonly (readonly [number, number])[]): number {
  const mean = average(pairs.map(([, value]) => value));
  const groups = new Map<number, number[]>();
  for (const [place, value] of pairs) groups.set(place, [...(groups.get(place) ?? []), value]);
  const whole = pairs.reduce((sum, [, value]) => sum + (value - mean) ** 2, 0);
  const parts = [...groups.values()].reduce((sum, values) => sum + values.length * (average(values) - mean) ** 2, 0);
  return whole === 0 ? 0 : parts / whole;
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function ranks(values: readonly number[]): number[] {
  const order = values.map((value, at) => [value, at] as const).sort((one, other) => one[0] - other[0]);
  const result = new Array<number>(values.length).fill(0);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && order[to + 1]?.[0] === order[from]?.[0]) to++;
    for (let at = from; at <= to; at++) result[(order[at] as readonly [number, number])[1]] = (from + to) / 2;
    from = to + 1;
  }
  return result;
}

function correlation(xs: readonly number[], ys: readonly number[]): number {
  const mx = average(xs);
  const my = average(ys);
  let top = 0;
  let x2 = 0;
  let y2 = 0;
  xs.forEach((x, at) => {
    const dx = x - mx;
    const dy = (ys[at] as number) - my;
    top += dx * dy;
    x2 += dx * dx;
    y2 += dy * dy;
  });
  return x2 === 0 || y2 === 0 ? 0 : top / Math.sqrt(x2 * y2);
}

/** The rungs of successive halving: after which steps trials are compared. */
export function rungsOf(early: EarlyStopping | undefined, most: number): number[] {
  if (early?.rule.case !== "halving") return [];
  const eta = early.rule.value.eta || 3;
  const rungs: number[] = [];
  for (let step = Number(early.rule.value.minStep || 1n); step <= most && rungs.length < 20; step *= eta)
    rungs.push(step);
  return rungs;
}
