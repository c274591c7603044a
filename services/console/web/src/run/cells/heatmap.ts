/** A heatmap of cells, one texel a cell: geometry, colours and what lies under a pointer. Drawing itself is one putImageData. */

import type { Cells } from "./cells";

export interface Grid {
  readonly columns: number;
  readonly rows: number;
  readonly count: number;
}

/** As many columns as make the texels about square in a space of this shape. */
export function gridFor(count: number, width: number, height: number): Grid {
  if (count <= 0) return { columns: 1, rows: 0, count: 0 };
  const columns = Math.min(count, Math.max(1, Math.ceil(Math.sqrt((count * width) / Math.max(1, height)))));
  return { columns, rows: Math.ceil(count / columns), count };
}

/** Where the grid is seen: the texel of the upper left corner, and pixels for each texel. */
export interface Camera {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
}

export function fitted(grid: Grid, width: number, height: number): Camera {
  const scale = Math.min(width / grid.columns, height / Math.max(1, grid.rows));
  return { x: -(width / scale - grid.columns) / 2, y: -(height / scale - grid.rows) / 2, scale };
}

/** Zooms around a point of the screen, which stays where it is. */
export function zoomed(camera: Camera, factor: number, x: number, y: number, least: number): Camera {
  const scale = Math.min(64, Math.max(least, camera.scale * factor));
  return { x: camera.x + x / camera.scale - x / scale, y: camera.y + y / camera.scale - y / scale, scale };
}

/** Keeps at least a part of the grid in sight. */
export function clamped(camera: Camera, grid: Grid, width: number, height: number): Camera {
  const wide = width / camera.scale;
  const high = height / camera.scale;
  const within = (at: number, size: number, seen: number): number =>
    size <= seen ? -(seen - size) / 2 : Math.min(size - seen, Math.max(0, at));
  return { ...camera, x: within(camera.x, grid.columns, wide), y: within(camera.y, grid.rows, high) };
}

/** The position (not the cell's index) under a point of the screen, or -1. */
export function positionAt(camera: Camera, grid: Grid, x: number, y: number): number {
  const column = Math.floor(camera.x + x / camera.scale);
  const row = Math.floor(camera.y + y / camera.scale);
  if (column < 0 || column >= grid.columns || row < 0) return -1;
  const position = row * grid.columns + column;
  return position < grid.count ? position : -1;
}

/** Moves the camera as little as needed to bring a position into sight. */
export function revealed(camera: Camera, grid: Grid, position: number, width: number, height: number): Camera {
  const column = position % grid.columns;
  const row = Math.floor(position / grid.columns);
  const nearest = (at: number, wanted: number, seen: number): number =>
    wanted < at ? wanted : wanted + 1 > at + seen ? wanted + 1 - seen : at;
  return {
    ...camera,
    x: nearest(camera.x, column, width / camera.scale),
    y: nearest(camera.y, row, height / camera.scale),
  };
}

/** The position that a key of the keyboard leads to. */
export function moved(grid: Grid, position: number, key: string): number {
  const step: Record<string, number> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -grid.columns,
    ArrowDown: grid.columns,
    PageUp: -grid.columns * 10,
    PageDown: grid.columns * 10,
  };
  if (key === "Home") return 0;
  if (key === "End") return grid.count - 1;
  const next = position + (step[key] ?? 0);
  return next < 0 || next >= grid.count ? position : next;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The positions whose centre lies in a shape that was drawn on the grid (in texels). */
export function lassoed(grid: Grid, shape: readonly Point[]): number[] {
  if (shape.length < 3) return [];
  const xs = shape.map((point) => point.x);
  const ys = shape.map((point) => point.y);
  const found: number[] = [];
  const bottom = Math.min(grid.rows - 1, Math.ceil(Math.max(...ys)));
  const right = Math.min(grid.columns - 1, Math.ceil(Math.max(...xs)));
  for (let row = Math.max(0, Math.floor(Math.min(...ys))); row <= bottom; row++) {
    for (let column = Math.max(0, Math.floor(Math.min(...xs))); column <= right; column++) {
      const position = row * grid.columns + column;
      if (position < grid.count && inside(column + 0.5, row + 0.5, shape)) found.push(position);
    }
  }
  return found;
}

function inside(x: number, y: number, shape: readonly Point[]): boolean {
  let within = false;
  for (let at = 0, before = shape.length - 1; at < shape.length; before = at++) {
    const one = shape[at] as Point;
    const other = shape[before] as Point;
    if (one.y > y !== other.y > y && x < ((other.x - one.x) * (y - one.y)) / (other.y - one.y) + one.x)
      within = !within;
  }
  return within;
}

/** Packs "#rrggbb" as the machine keeps a pixel (little-endian RGBA). */
export function packColor(color: string): number {
  const value = Number.parseInt(color.slice(1), 16);
  return ((255 << 24) | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

/** Paints each cell in the colour of its status. */
export function paintStatus(
  pixels: Uint32Array,
  grid: Grid,
  cells: Cells,
  order: Uint32Array,
  palette: Uint32Array,
): void {
  pixels.fill(0);
  for (let position = 0; position < grid.count; position++) {
    pixels[position] = palette[cells.status[order[position] as number] as number] as number;
  }
}

/** Paints each cell by a value between the 2nd and the 98th percentile, so that one outlier does not grey out the rest. */
export function paintValues(
  pixels: Uint32Array,
  grid: Grid,
  values: Float64Array,
  order: Uint32Array,
  ramp: Uint32Array,
  none: number,
): { low: number; high: number } | undefined {
  pixels.fill(0);
  const range = percentiles(values);
  const top = ramp.length - 1;
  for (let position = 0; position < grid.count; position++) {
    const value = values[order[position] as number] as number;
    if (range === undefined || Number.isNaN(value)) {
      pixels[position] = none;
      continue;
    }
    const share = range.high > range.low ? (value - range.low) / (range.high - range.low) : 0.5;
    pixels[position] = ramp[Math.round(Math.min(1, Math.max(0, share)) * top)] as number;
  }
  return range;
}

export function percentiles(values: Float64Array): { low: number; high: number } | undefined {
  const known = values.filter((value) => Number.isFinite(value)).sort();
  if (known.length === 0) return undefined;
  const at = (share: number): number => known[Math.round((known.length - 1) * share)] as number;
  return { low: at(0.02), high: at(0.98) };
}

/** Colours between the given ones, evenly. */
export function ramp(stops: readonly string[], size = 256): Uint32Array {
  const colors = new Uint32Array(size);
  for (let at = 0; at < size; at++) {
    const place = (at / (size - 1)) * (stops.length - 1);
    const from = Math.min(stops.length - 2, Math.floor(place));
    colors[at] = packColor(mixed(stops[from] as string, stops[from + 1] as string, place - from));
  }
  return colors;
}

function mixed(one: string, other: string, share: number): string {
  const channel = (color: string, at: number): number => Number.parseInt(color.slice(at, at + 2), 16);
  const parts = [1, 3, 5].map((at) => Math.round(channel(one, at) * (1 - share) + channel(other, at) * share));
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
