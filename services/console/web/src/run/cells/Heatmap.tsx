import { useElementSize } from "@mantine/hooks";
import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { statusLook } from "../../common/status";
import { counted } from "../../common/text";
import { formatDuration } from "../../common/time";
import { metricText } from "../charts/format";
import classes from "./Cells.module.css";
import { type Cells, valuesBy } from "./cells";
import { drawMap, type MapColors, useMapColors } from "./drawMap";
import {
  type Camera,
  clamped,
  fitted,
  type Grid,
  gridFor,
  lassoed,
  moved,
  type Point,
  paintStatus,
  paintValues,
  positionAt,
  revealed,
  zoomed,
} from "./heatmap";
import { usePalette, useRamp } from "./usePalette";

export type Paint = "status" | "duration" | "metric";

interface Props {
  cells: Cells;
  version: number;
  /** Position -> index of the cell. */
  order: Uint32Array;
  paint: Paint;
  lassoing: boolean;
  /** Indexes of cells. */
  chosen: readonly number[];
  onChoose: (indexes: readonly number[]) => void;
  /** Index of the cell under the keyboard's cursor, or -1. */
  cursor: number;
  onCursor: (index: number) => void;
  /** Opens the cell under the cursor. */
  onOpen: () => void;
}

/** One texel a cell. Scrolling zooms, dragging moves, arrows walk. */
export function Heatmap({ cells, version, order, paint, lassoing, chosen, onChoose, cursor, onCursor, onOpen }: Props) {
  const { ref, width, height } = useElementSize();
  const canvas = useRef<HTMLCanvasElement>(null);
  const grid = useMemo(() => gridFor(order.length, width || 600, height || 400), [order.length, width, height]);
  const texels = useTexels(cells, version, order, grid, paint);
  const positions = useMemo(() => positionsOf(order), [order]);
  const [view, setView] = useState<{ camera: Camera; grid: Grid }>();
  const [hovered, setHovered] = useState<{ position: number; x: number; y: number }>();
  const [shape, setShape] = useState<readonly Point[]>([]);
  const drag = useRef<{ x: number; y: number; camera: Camera; moved: boolean }>(undefined);
  const colors = useMapColors();
  const camera = view?.grid === grid ? view.camera : fitted(grid, width || 600, height || 400);
  const whole = fitted(grid, width || 600, height || 400).scale;
  const setCamera = (next: Camera): void => setView({ camera: clamped(next, grid, width, height), grid });

  useDrawing({
    canvas,
    texels,
    camera,
    grid,
    width,
    height,
    cells,
    order,
    chosen,
    positions,
    cursor,
    hovered: hovered?.position,
    shape,
    colors,
    version,
  });

  const wheel = useRef<(event: WheelEvent) => void>(() => undefined);
  wheel.current = (event) => {
    event.preventDefault();
    setCamera(zoomed(camera, Math.exp(-event.deltaY * 0.002), event.offsetX, event.offsetY, whole * 0.9));
  };
  useEffect(() => {
    const surface = canvas.current;
    const listen = (event: WheelEvent): void => wheel.current(event);
    // React's own wheel handlers are passive: they could not keep the page from scrolling.
    surface?.addEventListener("wheel", listen, { passive: false });
    return () => surface?.removeEventListener("wheel", listen);
  }, []);

  const keys = (event: KeyboardEvent): void => {
    if (event.key === "+" || event.key === "-") {
      setCamera(zoomed(camera, event.key === "+" ? 1.5 : 1 / 1.5, width / 2, height / 2, whole * 0.9));
    } else if (event.key === "Escape") {
      setView(undefined);
      onChoose([]);
    } else if (event.key === "Enter" && cursor >= 0) {
      onOpen();
    } else if (event.key === " " && cursor >= 0) {
      onChoose(chosen.includes(cursor) ? chosen.filter((cell) => cell !== cursor) : [...chosen, cursor]);
    } else {
      const from = cursor < 0 ? 0 : (positions[cursor] ?? 0);
      const to = cursor < 0 ? 0 : moved(grid, from, event.key);
      if (to === from && cursor >= 0) return;
      onCursor(order[to] ?? -1);
      setCamera(revealed(camera, grid, to, width, height));
    }
    event.preventDefault();
  };
  const down = (event: PointerEvent<HTMLCanvasElement>): void => {
    event.currentTarget.setPointerCapture(event.pointerId);
    if (lassoing || event.shiftKey) setShape([pointOf(event, camera)]);
    else drag.current = { x: event.clientX, y: event.clientY, camera, moved: false };
  };
  const move = (event: PointerEvent<HTMLCanvasElement>): void => {
    if (shape.length > 0) {
      setShape([...shape, pointOf(event, camera)]);
      return;
    }
    const from = drag.current;
    if (from === undefined) {
      const { offsetX: x, offsetY: y } = event.nativeEvent;
      const position = positionAt(camera, grid, x, y);
      setHovered(position < 0 ? undefined : { position, x, y });
      return;
    }
    const dx = event.clientX - from.x;
    const dy = event.clientY - from.y;
    if (Math.abs(dx) + Math.abs(dy) > 3) from.moved = true;
    setCamera({ ...from.camera, x: from.camera.x - dx / camera.scale, y: from.camera.y - dy / camera.scale });
  };
  const up = (event: PointerEvent<HTMLCanvasElement>): void => {
    if (shape.length > 0) {
      onChoose(lassoed(grid, shape).map((position) => order[position] as number));
      setShape([]);
      return;
    }
    const from = drag.current;
    drag.current = undefined;
    if (from?.moved) return;
    const position = positionAt(camera, grid, event.nativeEvent.offsetX, event.nativeEvent.offsetY);
    onCursor(position < 0 ? -1 : (order[position] as number));
  };
  const told = hovered !== undefined ? (order[hovered.position] as number) : undefined;
  return (
    <div ref={ref} className={classes.heatmap} data-lasso={lassoing}>
      {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: keys go to the drawing itself. */}
      <canvas
        ref={canvas}
        role="application"
        aria-label={`Heatmap of ${counted(cells.total, "cell")}. Arrow keys walk, Enter opens, plus and minus zoom, space selects. The table beside it has the same as text.`}
        tabIndex={0}
        onKeyDown={keys}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerLeave={() => setHovered(undefined)}
        onDoubleClick={() => setView(undefined)}
      />
      {told !== undefined && hovered !== undefined && (
        <div
          className={classes.tip}
          style={{ left: Math.min(hovered.x + 14, Math.max(0, width - 200)), top: hovered.y + 14 }}
        >
          <CellTip cells={cells} cell={told} />
        </div>
      )}
      <output className={classes.spoken} aria-live="polite">
        {cursor >= 0 && <CellTip cells={cells} cell={cursor} />}
      </output>
    </div>
  );
}

function CellTip({ cells, cell }: { cells: Cells; cell: number }) {
  const status = cells.status[cell] ?? 0;
  const attempt = cells.attempt[cell] ?? 0;
  const metric = cells.metric[cell] ?? Number.NaN;
  const duration = cells.duration(cell, Date.now() * 1000);
  return (
    <>
      <b>Cell {cell}</b>
      <span>{status === 0 ? "not started" : statusLook(status).label}</span>
      {duration > 0 && <span>{formatDuration(duration / 1000)}</span>}
      {attempt > 1 && <span>attempt {attempt}</span>}
      {!Number.isNaN(metric) && <span>{metricText(metric)}</span>}
    </>
  );
}

function pointOf(event: PointerEvent<HTMLCanvasElement>, camera: Camera): Point {
  const { offsetX, offsetY } = event.nativeEvent;
  return { x: camera.x + offsetX / camera.scale, y: camera.y + offsetY / camera.scale };
}

function positionsOf(order: Uint32Array): Uint32Array {
  const positions = new Uint32Array(order.length);
  for (let position = 0; position < order.length; position++) positions[order[position] as number] = position;
  return positions;
}

/** The picture itself, one pixel a cell; made anew when cells change, not when the camera moves. */
function useTexels(cells: Cells, version: number, order: Uint32Array, grid: Grid, paint: Paint): HTMLCanvasElement {
  const surface = useRef<HTMLCanvasElement>(undefined);
  const palette = usePalette();
  const { colors, none } = useRamp();
  // biome-ignore lint/correctness/useExhaustiveDependencies: the cells are one object whose version changes.
  return useMemo(() => {
    surface.current ??= document.createElement("canvas");
    const texels = surface.current;
    if (grid.rows === 0) return texels;
    texels.width = grid.columns;
    texels.height = grid.rows;
    const context = texels.getContext("2d") as CanvasRenderingContext2D;
    const image = context.createImageData(grid.columns, grid.rows);
    const pixels = new Uint32Array(image.data.buffer);
    if (paint === "status") paintStatus(pixels, grid, cells, order, palette);
    else paintValues(pixels, grid, valuesBy(cells, paint, Date.now() * 1000), order, colors, none);
    context.putImageData(image, 0, 0);
    return texels;
  }, [cells, version, order, grid, paint, palette, colors, none]);
}

interface DrawingProps {
  canvas: { readonly current: HTMLCanvasElement | null };
  texels: HTMLCanvasElement;
  camera: Camera;
  grid: Grid;
  width: number;
  height: number;
  cells: Cells;
  order: Uint32Array;
  chosen: readonly number[];
  positions: Uint32Array;
  cursor: number;
  hovered: number | undefined;
  shape: readonly Point[];
  colors: MapColors;
  version: number;
}

function useDrawing(drawing: DrawingProps): void {
  const { canvas, width, height } = drawing;
  useEffect(() => {
    const surface = canvas.current;
    const context = surface?.getContext("2d");
    if (!surface || !context || width === 0 || height === 0) return;
    const frame = requestAnimationFrame(() => {
      const ratio = window.devicePixelRatio || 1;
      if (surface.width !== Math.round(width * ratio) || surface.height !== Math.round(height * ratio)) {
        surface.width = Math.round(width * ratio);
        surface.height = Math.round(height * ratio);
      }
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      drawMap(context, drawing);
    });
    return () => cancelAnimationFrame(frame);
  });
}
