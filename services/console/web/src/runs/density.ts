import { statusLook, type Tone } from "../common/status";
import type { CountRunsResponse, StatusCount } from "../gen/kaonapi/view/v1/runs_pb";

/** From the ground up: what needs somebody stands where it is seen first. */
export const STACK: readonly Tone[] = ["failed", "running", "waiting", "idle", "done", "off"];

/** Runs of one span of time. */
export interface Bar {
  readonly from: number;
  readonly to: number;
  readonly total: number;
  readonly tones: Readonly<Record<Tone, number>>;
}

const NONE: Readonly<Record<Tone, number>> = { failed: 0, running: 0, waiting: 0, idle: 0, done: 0, off: 0 };

/** Adds up counts by tone. Of `wanted` statuses only; undefined wants all. */
export function tonesOf(counts: readonly StatusCount[], wanted?: ReadonlySet<number>): Record<Tone, number> {
  const tones = { ...NONE };
  for (const { status, count } of counts) {
    if (!wanted || wanted.has(status)) tones[statusLook(status).tone] += Number(count);
  }
  return tones;
}

/** Returns a bar for each bucket, those without runs too, so that bars are evenly spaced in time. */
export function barsOf(answer: CountRunsResponse, buckets: number, wanted?: ReadonlySet<number>): Bar[] {
  const from = Number(answer.fromUs) / 1000;
  const length = Number(answer.bucketUs) / 1000;
  const bars: Bar[] = Array.from({ length: buckets }, (_, index) => ({
    from: from + index * length,
    to: from + (index + 1) * length,
    total: 0,
    tones: NONE,
  }));
  for (const { index, counts } of answer.buckets) {
    const tones = tonesOf(counts, wanted);
    const total = Object.values(tones).reduce((sum, count) => sum + count, 0);
    if (bars[index]) bars[index] = { ...bars[index], tones, total };
  }
  return bars;
}

/** One rectangle of a bar, in pixels from the top left. */
export interface Piece {
  readonly tone: Tone;
  readonly y: number;
  readonly height: number;
}

/** Returns the stack of a bar. The root of the count keeps single runs in sight beside thousands; each tone has a pixel at least. */
export function piecesOf(bar: Bar, highest: number, height: number): Piece[] {
  if (bar.total === 0 || highest === 0) return [];
  const whole = Math.max(3, Math.sqrt(bar.total / highest) * height);
  let bottom = height;
  return STACK.filter((tone) => bar.tones[tone] > 0).map((tone) => {
    const part = Math.max(1, (bar.tones[tone] / bar.total) * whole);
    bottom -= part;
    return { tone, y: bottom, height: part };
  });
}

/** A span of buckets, its ends included; `from` is where it began and may be the later one. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export function orderedSpan({ from, to }: Span): readonly [number, number] {
  return from < to ? [from, to] : [to, from];
}

/** Returns the bucket under a pixel. */
export function bucketAt(x: number, width: number, buckets: number): number {
  return Math.max(0, Math.min(buckets - 1, Math.floor((x / width) * buckets)));
}

const STEPS = [1, 2, 5, 10, 15, 30].flatMap((n) => [n * 1000, n * 60_000]);
const LONG_STEPS = [1, 3, 6, 12]
  .map((n) => n * 3_600_000)
  .concat([1, 2, 7, 14, 30, 90, 365].map((n) => n * 86_400_000));
const ALL_STEPS = [...STEPS, ...LONG_STEPS].sort((a, b) => a - b);

/** Returns round times for labels below an axis, at most `most` of them. `offset` is the zone's, so that days begin at midnight. */
export function ticksOf(from: number, to: number, most: number, offset = 0): number[] {
  const step = ALL_STEPS.find((each) => (to - from) / each <= most) ?? ALL_STEPS.at(-1)!;
  const ticks: number[] = [];
  for (let at = Math.ceil((from + offset) / step) * step - offset; at <= to; at += step) ticks.push(at);
  return ticks;
}
