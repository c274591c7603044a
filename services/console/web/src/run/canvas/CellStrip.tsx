import { useEffect, useRef } from "react";
import { orderCells } from "../cells/cells";
import { gridFor, paintStatus } from "../cells/heatmap";
import { usePalette } from "../cells/usePalette";
import { useCells } from "../live/useRun";
import classes from "./canvas.module.css";

/** All cells of a foreach in its node, one texel a cell, live. */
export function CellStrip({
  runId,
  block,
  total,
  height,
}: {
  runId: string;
  block: string;
  total: number;
  height: number;
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { cells, version } = useCells(runId, block, "", "");
  const palette = usePalette();
  useEffect(() => {
    const surface = canvas.current;
    const context = surface?.getContext("2d");
    if (!surface || !context || cells.total === 0 || version < 0) return;
    const grid = gridFor(cells.total, surface.clientWidth || 200, height);
    surface.width = grid.columns;
    surface.height = grid.rows;
    const image = context.createImageData(grid.columns, grid.rows);
    paintStatus(new Uint32Array(image.data.buffer), grid, cells, orderCells(cells, "index", false, 0), palette);
    context.putImageData(image, 0, 0);
  }, [cells, version, palette, height]);
  return <canvas ref={canvas} className={classes.strip} style={{ height }} role="img" aria-label={`${total} cells`} />;
}
