/** Draws the timeline. What cannot be told apart (the same pixel of the same lane) is drawn once. */

import { useComputedColorScheme } from "@mantine/core";
import { useMemo } from "react";
import { paletteOf, SHAPES, statusLook } from "../../common/status";
import { formatClock, formatDuration, type Zone } from "../../common/time";
import { packColor } from "../cells/heatmap";
import { STATUSES, Status } from "../model/counts";
import { fittedText } from "./label";
import { firstSeen, type Row, type Spans } from "./spans";
import { ALONE, firstFrom, type LaneStrips, type Strips } from "./strips";

/** Width of the names on the left; what is narrow needs its room for the lanes. */
export function labelsOf(width: number): number {
  return width < NARROW ? 112 : 196;
}

/** Where names begin, as everything on the page. */
function gutterOf(width: number): number {
  return width < NARROW ? 16 : 24;
}

const NARROW = 600;
const AXIS = 26;
const GAP = 10;
const LANE = 16;
const MOST = 132;
/** Lanes up to so many pixels have no room for shapes. */
const THIN = 6;
/** How bright is what is not on the critical path. */
const DIM = 0.55;

export interface View {
  readonly from: number;
  readonly until: number;
  readonly top: number;
}

export interface RowPlace {
  readonly top: number;
  readonly lane: number;
}

export interface RowLayout {
  readonly places: readonly RowPlace[];
  readonly height: number;
}

/** A row is as high as its lanes, up to a bound; beyond it lanes get thin. */
export function rowLayout(rows: readonly Row[]): RowLayout {
  let top = 0;
  const places = rows.map((row) => {
    const height = Math.min(MOST, row.lanes * LANE);
    const place = { top, lane: height / row.lanes };
    top += height + GAP;
    return place;
  });
  return { places, height: top };
}

export interface TimelineColors {
  readonly byStatus: readonly string[];
  readonly text: string;
  readonly dim: string;
  readonly line: string;
  readonly panel: string;
  readonly accent: string;
  readonly wait: string;
  readonly cut: string;
}

export function useTimelineColors(): TimelineColors {
  const scheme = useComputedColorScheme();
  return useMemo(() => {
    const style = getComputedStyle(document.documentElement);
    const value = (name: string): string => style.getPropertyValue(name).trim();
    const tones = paletteOf(document.documentElement);
    const byStatus = Array.from({ length: STATUSES }, (_, status) => tones[statusLook(status).tone]);
    // A lease that was lost is no end of the step: quieter than what ended.
    byStatus[Status.PENDING] = tones.off;
    return {
      byStatus,
      text: value("--text"),
      dim: value("--text-dim"),
      line: value("--line"),
      panel: value("--ground"),
      accent: value("--accent"),
      wait: scheme === "dark" ? "#3a4250" : "#cdd3dc",
      cut: value("--status-cut"),
    };
  }, [scheme]);
}

export interface Drawing {
  readonly spans: Spans;
  readonly rows: readonly Row[];
  readonly strips: Strips;
  readonly layout: RowLayout;
  readonly view: View;
  readonly width: number;
  readonly height: number;
  readonly colors: TimelineColors;
  readonly path: ReadonlySet<number> | undefined;
  readonly nowUs: number;
  readonly atUs: number | undefined;
  readonly cursor: number | undefined;
  readonly zone: Zone;
  readonly startUs: number;
}

export function drawTimeline(context: CanvasRenderingContext2D, drawing: Drawing): void {
  const { width, height, colors } = drawing;
  context.fillStyle = colors.panel;
  context.fillRect(0, 0, width, height);
  context.font = '11px "Inter Variable", Inter, system-ui, sans-serif';
  context.textBaseline = "middle";
  drawGrid(context, drawing);
  context.save();
  context.beginPath();
  context.rect(0, AXIS, width, height - AXIS);
  context.clip();
  const { from, until } = drawing.view;
  const strips = drawing.strips.at(from, until, (until - from) / Math.max(1, width - labelsOf(width)));
  for (const [at, row] of drawing.rows.entries()) {
    drawRow(context, drawing, row, strips[at] ?? [], drawing.layout.places[at] as RowPlace);
  }
  context.restore();
  drawCursor(context, drawing);
}

function xOf({ view, width }: Drawing, timeUs: number): number {
  return labelsOf(width) + ((timeUs - view.from) / (view.until - view.from)) * (width - labelsOf(width));
}

function drawGrid(context: CanvasRenderingContext2D, drawing: Drawing): void {
  const { view, width, height, colors, zone, startUs } = drawing;
  const step = niceStep((view.until - view.from) / Math.max(2, (width - labelsOf(width)) / 110));
  context.strokeStyle = colors.line;
  context.fillStyle = colors.dim;
  context.lineWidth = 1;
  const first = Math.ceil((view.from - startUs) / step) * step + startUs;
  let free = 0;
  for (let time = first; time < view.until; time += step) {
    const x = Math.round(xOf(drawing, time)) + 0.5;
    if (x < labelsOf(width)) continue;
    context.beginPath();
    context.moveTo(x, AXIS);
    context.lineTo(x, height);
    context.stroke();
    const text = time === startUs ? formatClock(time / 1000, zone) : `+${formatDuration((time - startUs) / 1000)}`;
    const length = context.measureText(text).width;
    // A text that would be cut at the right end stands before its line, where there is room.
    const left = x + 4 + length > width ? x - 4 - length : x + 4;
    if (left < free) continue;
    context.fillText(text, left, AXIS / 2);
    free = left + length + 4;
  }
  context.beginPath();
  context.moveTo(0, AXIS + 0.5);
  context.lineTo(width, AXIS + 0.5);
  context.stroke();
}

/** A length of time that people count in: 1, 2, 5, 10, 15, 30 of a unit. */
export function niceStep(wantedUs: number): number {
  const second = 1_000_000;
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400];
  if (wantedUs < second) {
    const power = 10 ** Math.floor(Math.log10(Math.max(1, wantedUs)));
    return power * ([1, 2, 5, 10].find((factor) => power * factor >= wantedUs) ?? 10);
  }
  return (steps.find((step) => step * second >= wantedUs) ?? Math.ceil(wantedUs / second / 86_400) * 86_400) * second;
}

function drawRow(
  context: CanvasRenderingContext2D,
  drawing: Drawing,
  row: Row,
  lanes: readonly LaneStrips[],
  place: RowPlace,
): void {
  const { view, width, height, colors } = drawing;
  const top = AXIS + GAP + place.top - view.top;
  const rowHeight = place.lane * row.lanes;
  if (top > height || top + rowHeight < AXIS) return;
  context.fillStyle = colors.text;
  context.fillText(
    fitted(context, row.label, labelsOf(width) - gutterOf(width) - 12),
    gutterOf(width),
    top + Math.min(rowHeight, LANE) / 2,
  );
  if (place.lane > 4)
    for (const [at, lane] of lanes.entries()) drawWaits(context, drawing, lane, top + (at + 0.5) * place.lane);
  if (place.lane <= THIN) drawThin(context, drawing, lanes, top, place.lane);
  else
    for (const [at, lane] of lanes.entries()) drawLane(context, drawing, lane, top + at * place.lane, place.lane - 3);
}

/** Where a time is on the screen, kept within the lanes. */
function placer({ view, width, nowUs }: Drawing): (timeUs: number) => number {
  const perUs = (width - labelsOf(width)) / (view.until - view.from);
  return (timeUs) =>
    Math.max(labelsOf(width), Math.min(width, labelsOf(width) + (Math.min(timeUs, nowUs) - view.from) * perUs));
}

function drawWaits(
  context: CanvasRenderingContext2D,
  drawing: Drawing,
  { waitLeft, waitRight }: LaneStrips,
  middle: number,
): void {
  const x = placer(drawing);
  context.globalAlpha = 1;
  context.fillStyle = drawing.colors.wait;
  for (let at = firstFrom(waitRight, drawing.view.from); at < waitRight.length; at++) {
    if ((waitLeft[at] as number) > drawing.view.until) break;
    const left = x(waitLeft[at] as number);
    context.fillRect(left, middle - 1, x(waitRight[at] as number) - left, 2);
  }
}

function drawLane(
  context: CanvasRenderingContext2D,
  drawing: Drawing,
  lane: LaneStrips,
  top: number,
  high: number,
): void {
  const { view, colors, path } = drawing;
  const x = placer(drawing);
  for (let at = firstFrom(lane.right, view.from); at < lane.right.length; at++) {
    if ((lane.left[at] as number) > view.until) break;
    const left = x(lane.left[at] as number);
    const wide = Math.max(1, x(lane.right[at] as number) - left);
    const outcome = lane.outcome[at] as number;
    context.globalAlpha = lane.bright[at] === 1 ? 1 : DIM;
    context.fillStyle = colors.byStatus[outcome] as string;
    if (lane.alone[at] === 1 && wide > ALONE) {
      context.beginPath();
      context.roundRect(left, top, wide, high, 3);
      context.fill();
      if (wide > 26) drawMark(context, outcome, left + 4, top + high / 2 - 5.5, colors);
    } else context.fillRect(left, top, wide, high);
    if (path !== undefined && lane.bright[at] === 1) {
      context.globalAlpha = 1;
      context.fillStyle = colors.accent;
      context.fillRect(left, top + high, wide, 2);
    }
  }
  context.globalAlpha = 1;
}

let picture: HTMLCanvasElement | undefined;

/** Draws many thin lanes as one picture: tens of thousands of rectangles of a pixel would each cost as much as a large one. */
function drawThin(
  context: CanvasRenderingContext2D,
  drawing: Drawing,
  lanes: readonly LaneStrips[],
  top: number,
  lane: number,
): void {
  const { view, width, colors } = drawing;
  const ratio = context.getTransform().a;
  const x = placer(drawing);
  const wide = Math.max(1, Math.round((width - labelsOf(width)) * ratio));
  const high = Math.max(1, Math.ceil(lanes.length * lane * ratio));
  const image = new ImageData(wide, high);
  const pixels = new Uint32Array(image.data.buffer);
  const bright = colors.byStatus.map(packColor);
  const dim = bright.map((color) => ((color & 0xffffff) | (Math.round(DIM * 255) << 24)) >>> 0);
  for (const [number, strips] of lanes.entries()) {
    const first = Math.floor(number * lane * ratio);
    const last = Math.max(first + 1, Math.floor((number + 1) * lane * ratio - 0.25));
    for (let at = firstFrom(strips.right, view.from); at < strips.right.length; at++) {
      if ((strips.left[at] as number) > view.until) break;
      const from = Math.min(wide - 1, Math.floor((x(strips.left[at] as number) - labelsOf(width)) * ratio));
      const until = Math.max(from + 1, Math.round((x(strips.right[at] as number) - labelsOf(width)) * ratio));
      const color = (strips.bright[at] === 1 ? bright : dim)[strips.outcome[at] as number] as number;
      for (let row = first; row < last && row < high; row++) pixels.fill(color, row * wide + from, row * wide + until);
    }
  }
  picture ??= document.createElement("canvas");
  picture.width = wide;
  picture.height = high;
  picture.getContext("2d")?.putImageData(image, 0, 0);
  context.drawImage(picture, labelsOf(width), top, wide / ratio, high / ratio);
}

const marks = new Map<string, Path2D>();

/** The shape of the status on its bar: colour never tells alone. */
function drawMark(
  context: CanvasRenderingContext2D,
  status: number,
  x: number,
  y: number,
  colors: TimelineColors,
): void {
  const data = SHAPES[statusLook(status).shape].stroke;
  if (data === undefined) return;
  let mark = marks.get(data);
  if (mark === undefined) {
    mark = new Path2D(data);
    marks.set(data, mark);
  }
  context.save();
  context.translate(x, y);
  context.scale(11 / 16, 11 / 16);
  context.strokeStyle = colors.cut;
  context.lineWidth = 2;
  context.lineCap = "round";
  context.stroke(mark);
  context.restore();
}

function drawCursor(context: CanvasRenderingContext2D, drawing: Drawing): void {
  const { atUs, width, height, colors, cursor, spans, rows, layout, view, nowUs } = drawing;
  if (atUs !== undefined) {
    const x = Math.round(xOf(drawing, atUs)) + 0.5;
    if (x >= labelsOf(width)) {
      context.strokeStyle = colors.accent;
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x, 0);
      context.lineTo(x, height);
      context.stroke();
    }
  }
  if (cursor === undefined || cursor < 0) return;
  const place = placeOf(spans, rows, layout, cursor);
  if (place === undefined) return;
  const left = Math.max(
    labelsOf(width),
    xOf(drawing, (spans.leased[cursor] as number) || (spans.ready[cursor] as number)),
  );
  const right = xOf(drawing, (spans.end[cursor] as number) || nowUs);
  context.strokeStyle = colors.text;
  context.lineWidth = 1.5;
  context.strokeRect(
    left - 1.5,
    AXIS + GAP + place.top - view.top - 1.5,
    Math.max(4, right - left) + 3,
    Math.max(4, place.lane) + 1,
  );
}

function placeOf(spans: Spans, rows: readonly Row[], layout: RowLayout, span: number): RowPlace | undefined {
  const label = spans.nodes[spans.node[span] as number]?.replace(/#\d+/g, "#");
  const at = rows.findIndex((row) => row.label === label);
  const row = rows[at];
  const place = layout.places[at];
  if (row === undefined || place === undefined) return undefined;
  const lane = row.spans.findIndex((indexes) => indexes.includes(span));
  return { top: place.top + lane * place.lane, lane: place.lane };
}

/** The span under a point, or -1. */
export function pick(
  spans: Spans,
  rows: readonly Row[],
  layout: RowLayout,
  view: View,
  width: number,
  nowUs: number,
  x: number,
  y: number,
): number {
  if (x < labelsOf(width) || y < AXIS) return -1;
  const down = y - AXIS - GAP + view.top;
  const at = layout.places.findIndex(
    (place, row) => down >= place.top && down < place.top + place.lane * (rows[row]?.lanes ?? 0),
  );
  const row = rows[at];
  const place = layout.places[at];
  if (row === undefined || place === undefined) return -1;
  const lane = row.spans[Math.floor((down - place.top) / place.lane)];
  if (lane === undefined) return -1;
  const perPixel = (view.until - view.from) / Math.max(1, width - labelsOf(width));
  const time = view.from + (x - labelsOf(width)) * perPixel;
  const slack = perPixel * 2;
  for (let index = firstSeen(spans, lane, time - slack); index < lane.length; index++) {
    const span = lane[index] as number;
    const begin = spans.ready[span] as number;
    const end = (spans.end[span] as number) || nowUs;
    if (time >= begin - slack && time <= end + slack) return span;
    if (begin > time + slack) break;
  }
  return -1;
}

const fittedLabels = new Map<string, string>();
let fittedWidth = 0;

/** All labels have the same font and the same room, which changes with the page. */
function fitted(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (width !== fittedWidth) fittedLabels.clear();
  fittedWidth = width;
  const known = fittedLabels.get(text);
  if (known !== undefined) return known;
  const cut = fittedText((part) => context.measureText(part).width, text, width);
  if (fittedLabels.size > 5_000) fittedLabels.clear();
  fittedLabels.set(text, cut);
  return cut;
}
