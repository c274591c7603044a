import { useElementSize, useMergedRef } from "@mantine/hooks";
import { useEffect, useMemo, useRef } from "react";
import { counted } from "../../common/text";
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
  // Told when it changes: who asks for the width with every event has the browser lay the page out each time.
  const { ref: measured, width } = useElementSize<HTMLCanvasElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const ref = useMergedRef(canvas, measured);
  const { cells, version } = useCells(runId, block, "", "");
  const palette = usePalette();
  const count = cells.total;
  const grid = useMemo(() => gridFor(count, width || 200, height), [count, width, height]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: by index, the order depends on the number of cells only
  const order = useMemo(() => orderCells(cells, "index", false, 0), [cells, count]);
  useEffect(() => {
    const surface = canvas.current;
    const context = surface?.getContext("2d");
    if (!surface || !context || grid.count === 0 || version < 0) return;
    if (surface.width !== grid.columns) surface.width = grid.columns;
    if (surface.height !== grid.rows) surface.height = grid.rows;
    const image = context.createImageData(grid.columns, grid.rows);
    paintStatus(new Uint32Array(image.data.buffer), grid, cells, order, palette);
    context.putImageData(image, 0, 0);
  }, [cells, grid, order, version, palette]);
  return (
    <canvas ref={ref} className={classes.strip} style={{ height }} role="img" aria-label={counted(total, "cell")} />
  );
}
