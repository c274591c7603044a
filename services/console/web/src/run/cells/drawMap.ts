/** Draws the part of a heatmap that is seen: the picture is stretched, what is near gets gaps and the shapes of statuses. */

import { useComputedColorScheme } from "@mantine/core";
import { useMemo } from "react";
import { SHAPES, statusLook } from "../../common/status";
import { STATUSES } from "../model/counts";
import type { Cells } from "./cells";
import type { Camera, Grid, Point } from "./heatmap";

export interface MapColors {
  readonly ground: string;
  readonly text: string;
  readonly accent: string;
  readonly cut: string;
}

export function useMapColors(): MapColors {
  const scheme = useComputedColorScheme();
  return useMemo(() => {
    const style = getComputedStyle(document.documentElement);
    const value = (name: string): string => style.getPropertyValue(name).trim();
    return {
      ground: value("--ground"),
      text: value("--text"),
      accent: value("--accent"),
      cut: scheme === "dark" ? "#0d0e11" : "#ffffff",
    };
  }, [scheme]);
}

export interface MapDrawing {
  readonly texels: HTMLCanvasElement;
  readonly camera: Camera;
  readonly grid: Grid;
  readonly width: number;
  readonly height: number;
  readonly cells: Cells;
  readonly order: Uint32Array;
  readonly chosen: readonly number[];
  readonly positions: Uint32Array;
  readonly cursor: number;
  readonly hovered: number | undefined;
  readonly shape: readonly Point[];
  readonly colors: MapColors;
}

// From this many pixels on there is a gap between cells, and from the larger one on each shows its shape.
const GAPS = 6;
const MARKS = 13;

export function drawMap(context: CanvasRenderingContext2D, drawing: MapDrawing): void {
  const { camera, grid, width, height, colors, texels } = drawing;
  context.fillStyle = colors.ground;
  context.fillRect(0, 0, width, height);
  if (grid.rows === 0) return;
  context.imageSmoothingEnabled = camera.scale < 1;
  const { scale } = camera;
  context.drawImage(texels, -camera.x * scale, -camera.y * scale, grid.columns * scale, grid.rows * scale);
  if (scale >= GAPS) drawGaps(context, drawing);
  if (scale >= MARKS) drawMarks(context, drawing);
  drawChosen(context, drawing);
  if (drawing.hovered !== undefined) frame(context, drawing, drawing.hovered, colors.text, 1);
  if (drawing.cursor >= 0) frame(context, drawing, drawing.positions[drawing.cursor] ?? 0, colors.accent, 2.5);
  drawLasso(context, drawing);
}

function drawGaps(context: CanvasRenderingContext2D, { camera, grid, width, height, colors }: MapDrawing): void {
  const { scale } = camera;
  context.fillStyle = colors.ground;
  const gap = scale > 16 ? 2 : 1;
  const right = Math.min(width, (grid.columns - camera.x) * scale);
  const bottom = Math.min(height, (grid.rows - camera.y) * scale);
  for (let column = Math.max(0, Math.floor(camera.x)); column <= grid.columns; column++) {
    const x = (column - camera.x) * scale;
    if (x > width) break;
    context.fillRect(x - gap / 2, 0, gap, bottom);
  }
  for (let row = Math.max(0, Math.floor(camera.y)); row <= grid.rows; row++) {
    const y = (row - camera.y) * scale;
    if (y > height) break;
    context.fillRect(0, y - gap / 2, right, gap);
  }
}

const tiles = new Map<string, HTMLCanvasElement>();

/** A cell with nothing but the shape of its status, so many pixels wide. */
function tileOf(data: string, color: string, pixels: number, size: number): HTMLCanvasElement {
  const key = `${pixels} ${size} ${color} ${data}`;
  const known = tiles.get(key);
  if (known !== undefined) return known;
  const tile = document.createElement("canvas");
  tile.width = pixels;
  tile.height = pixels;
  const context = tile.getContext("2d") as CanvasRenderingContext2D;
  context.translate((pixels - size) / 2, (pixels - size) / 2);
  context.scale(size / 16, size / 16);
  context.strokeStyle = color;
  context.lineWidth = 1.8;
  context.lineCap = "round";
  context.stroke(new Path2D(data));
  if (tiles.size > 100) tiles.clear();
  tiles.set(key, tile);
  return tile;
}

/** Cells of one status that lie side by side get their shapes by one fill with a pattern: thousands are seen at once. */
function drawMarks(context: CanvasRenderingContext2D, drawing: MapDrawing): void {
  const { camera, grid, width, height, cells, order, colors } = drawing;
  const { scale } = camera;
  const ratio = context.getTransform().a;
  const pixels = Math.max(1, Math.round(scale * ratio));
  const matrix = new DOMMatrix([scale / pixels, 0, 0, scale / pixels, -camera.x * scale, -camera.y * scale]);
  const patterns = Array.from({ length: STATUSES }, (_, status) => {
    const data = status === 0 ? undefined : SHAPES[statusLook(status).shape].stroke;
    if (data === undefined) return undefined;
    const tile = tileOf(data, colors.cut, pixels, Math.min(16, scale * 0.62) * ratio);
    const pattern = context.createPattern(tile, "repeat");
    pattern?.setTransform(matrix);
    return pattern ?? undefined;
  });
  const lastRow = Math.min(grid.rows - 1, Math.floor(camera.y + height / scale));
  const lastColumn = Math.min(grid.columns - 1, Math.floor(camera.x + width / scale));
  for (let row = Math.max(0, Math.floor(camera.y)); row <= lastRow; row++) {
    const most = Math.min(lastColumn, grid.count - 1 - row * grid.columns);
    const statusAt = (column: number): number => cells.status[order[row * grid.columns + column] as number] ?? 0;
    for (let column = Math.max(0, Math.floor(camera.x)); column <= most; ) {
      const first = column;
      const status = statusAt(first);
      while (column <= most && statusAt(column) === status) column += 1;
      const pattern = patterns[status];
      if (pattern === undefined) continue;
      context.fillStyle = pattern;
      context.fillRect((first - camera.x) * scale, (row - camera.y) * scale, (column - first) * scale, scale);
    }
  }
}

function drawChosen(context: CanvasRenderingContext2D, drawing: MapDrawing): void {
  const { chosen, positions, camera, grid, colors } = drawing;
  if (chosen.length === 0) return;
  const { scale } = camera;
  context.fillStyle = colors.accent;
  context.globalAlpha = 0.5;
  context.beginPath();
  for (const cell of chosen) {
    const position = positions[cell] ?? 0;
    context.rect(
      ((position % grid.columns) - camera.x) * scale,
      (Math.floor(position / grid.columns) - camera.y) * scale,
      scale,
      scale,
    );
  }
  context.fill();
  context.globalAlpha = 1;
}

function frame(
  context: CanvasRenderingContext2D,
  drawing: MapDrawing,
  position: number,
  color: string,
  width: number,
): void {
  const { camera, grid } = drawing;
  const { scale } = camera;
  // A cell of one pixel gets a frame that can be seen.
  const size = Math.max(scale, 5);
  const x = ((position % grid.columns) + 0.5 - camera.x) * scale - size / 2;
  const y = (Math.floor(position / grid.columns) + 0.5 - camera.y) * scale - size / 2;
  context.strokeStyle = color;
  context.lineWidth = width;
  context.strokeRect(x, y, size, size);
}

function drawLasso(context: CanvasRenderingContext2D, { shape, camera, colors }: MapDrawing): void {
  const [first, ...rest] = shape;
  if (first === undefined) return;
  context.beginPath();
  context.moveTo((first.x - camera.x) * camera.scale, (first.y - camera.y) * camera.scale);
  for (const point of rest) context.lineTo((point.x - camera.x) * camera.scale, (point.y - camera.y) * camera.scale);
  context.closePath();
  context.strokeStyle = colors.accent;
  context.lineWidth = 1.5;
  context.stroke();
  context.fillStyle = colors.accent;
  context.globalAlpha = 0.15;
  context.fill();
  context.globalAlpha = 1;
}
