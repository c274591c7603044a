import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CellColumnsSchema } from "../../gen/kaonapi/view/v1/cells_pb";
import { Cells, orderCells, valuesBy } from "./cells";
import {
  clamped,
  fitted,
  gridFor,
  lassoed,
  moved,
  packColor,
  paintStatus,
  paintValues,
  percentiles,
  positionAt,
  ramp,
  revealed,
  zoomed,
} from "./heatmap";

function bytes(values: number[], kind: typeof Uint32Array | typeof Float32Array): Uint8Array {
  return new Uint8Array(kind.from(values).buffer);
}

function columns(over: { index?: number[]; status: number[]; start?: number[]; end?: number[]; metric?: number[] }) {
  const zeros = over.status.map(() => 0);
  return create(CellColumnsSchema, {
    count: over.status.length,
    index: over.index === undefined ? new Uint8Array() : bytes(over.index, Uint32Array),
    status: Uint8Array.from(over.status),
    attempt: Uint8Array.from(zeros),
    baseUs: 1_000n,
    unitUs: 10n,
    ready: bytes(zeros, Uint32Array),
    start: bytes(over.start ?? zeros, Uint32Array),
    end: bytes(over.end ?? zeros, Uint32Array),
    metric: over.metric === undefined ? new Uint8Array() : bytes(over.metric, Float32Array),
  });
}

describe("Cells", () => {
  it("takes a snapshot and then what has changed, by index, twice without harm", () => {
    const cells = new Cells();
    cells.apply(columns({ status: [4, 3, 0], start: [1, 2, 0], end: [11, 0, 0] }), 3);
    const change = columns({ index: [2, 1], status: [3, 5], start: [5, 2], end: [0, 8] });
    cells.apply(change, 3);
    cells.apply(change, 3);
    expect([...cells.status]).toEqual([4, 5, 3]);
    expect([...cells.start]).toEqual([1_000, 1_010, 1_040]);
    expect(cells.duration(0, 0)).toBe(100);
    expect(cells.duration(2, 1_140)).toBe(100);
    expect(cells.counts()[5]).toBe(1);
  });

  it("grows when the foreach does, and keeps what it had", () => {
    const cells = new Cells();
    cells.apply(columns({ status: [4] }), 1);
    cells.apply(columns({ index: [9], status: [3] }), 10);
    expect([...cells.status]).toEqual([4, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
  });

  it("reads columns that do not begin at an aligned byte of their message", () => {
    const packed = columns({ status: [4, 4], start: [1, 2] });
    const shifted = new Uint8Array(9);
    shifted.set(packed.start, 1);
    const cells = new Cells();
    cells.apply({ ...packed, start: shifted.subarray(1) }, 2);
    expect([...cells.start]).toEqual([1_000, 1_010]);
  });
});

describe("orderCells", () => {
  const cells = new Cells();
  cells.apply(
    columns({
      status: [4, 5, 0, 4],
      start: [1, 1, 0, 1],
      end: [30, 10, 0, 20],
      metric: [0.5, Number.NaN, Number.NaN, 0.1],
    }),
    4,
  );

  it("orders by index, duration, metric and status; what has no value comes last", () => {
    expect([...orderCells(cells, "index", true, 0)]).toEqual([3, 2, 1, 0]);
    expect([...orderCells(cells, "duration", false, 0)]).toEqual([1, 3, 0, 2]);
    expect([...orderCells(cells, "duration", true, 0)]).toEqual([0, 3, 1, 2]);
    expect([...orderCells(cells, "metric", false, 0)]).toEqual([3, 0, 1, 2]);
    expect([...orderCells(cells, "status", true, 0)]).toEqual([1, 0, 3, 2]);
  });
});

describe("heatmap", () => {
  const grid = gridFor(100_000, 800, 400);

  it("has room for every cell, about square", () => {
    expect(grid.columns * grid.rows).toBeGreaterThanOrEqual(100_000);
    expect(grid.columns / grid.rows).toBeCloseTo(2, 1);
    expect(gridFor(0, 10, 10).rows).toBe(0);
    expect(gridFor(3, 1_000, 10).columns).toBe(3);
  });

  it("finds the cell under the pointer, and none beside the grid", () => {
    const small = gridFor(6, 30, 20);
    const camera = fitted(small, 30, 20);
    expect(positionAt(camera, small, 1, 1)).toBe(0);
    expect(positionAt(camera, small, 29, 19)).toBe(5);
    expect(positionAt(camera, small, -5, 1)).toBe(-1);
    expect(positionAt(camera, gridFor(5, 30, 20), 29, 19)).toBe(-1);
  });

  it("zooms around the pointer and stays within the grid", () => {
    const camera = fitted(grid, 800, 400);
    const near = zoomed(camera, 4, 200, 100, 0.1);
    expect(positionAt(near, grid, 200, 100)).toBe(positionAt(camera, grid, 200, 100));
    const beyond = clamped({ ...near, x: 1e6, y: -1e6 }, grid, 800, 400);
    expect(beyond.x).toBeCloseTo(grid.columns - 800 / near.scale);
    expect(beyond.y).toBe(0);
  });

  it("moves by keys, and brings the cursor into sight", () => {
    const small = gridFor(10, 50, 20);
    expect(small.columns).toBe(5);
    expect(moved(small, 0, "ArrowRight")).toBe(1);
    expect(moved(small, 0, "ArrowDown")).toBe(5);
    expect(moved(small, 9, "ArrowDown")).toBe(9);
    expect(moved(small, 3, "Home")).toBe(0);
    expect(moved(small, 3, "End")).toBe(9);
    expect(revealed({ x: 0, y: 0, scale: 10 }, small, 9, 20, 10)).toEqual({ x: 3, y: 1, scale: 10 });
  });

  it("takes what a lasso goes around", () => {
    const small = gridFor(16, 40, 40);
    const around = [
      { x: 0, y: 0 },
      { x: 2, y: 0 },
      { x: 2, y: 2 },
      { x: 0, y: 2 },
    ];
    expect(lassoed(small, around)).toEqual([0, 1, 4, 5]);
    expect(lassoed(small, around.slice(0, 2))).toEqual([]);
  });

  it("paints one pixel a cell", () => {
    const cells = new Cells();
    cells.apply(columns({ status: [4, 5, 4], metric: [0, 10, Number.NaN] }), 3);
    const three = gridFor(3, 30, 10);
    const palette = new Uint32Array(13);
    palette[4] = packColor("#00ff00");
    palette[5] = packColor("#ff0000");
    const pixels = new Uint32Array(three.columns * three.rows);
    paintStatus(pixels, three, cells, orderCells(cells, "index", false, 0), palette);
    expect([...pixels]).toEqual([0xff00ff00, 0xff0000ff, 0xff00ff00]);
    const colors = ramp(["#000000", "#ffffff"]);
    const range = paintValues(
      pixels,
      three,
      valuesBy(cells, "metric", 0),
      orderCells(cells, "index", false, 0),
      colors,
      7,
    );
    expect(range).toEqual({ low: 0, high: 10 });
    expect([...pixels]).toEqual([0xff000000, 0xffffffff, 7]);
    expect(percentiles(new Float64Array([Number.NaN]))).toBeUndefined();
  });
});
