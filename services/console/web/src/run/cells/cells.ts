/** The cells of one foreach as columns: what a heatmap, a table beside it and a lasso work on. */

import type { CellColumns } from "../../gen/kaonapi/view/v1/cells_pb";
import { type Counts, noCounts } from "../model/counts";
import { float32, times, uint32 } from "../model/packed";

export class Cells {
  total = 0;
  /** Raised with every change. */
  version = 0;
  status = new Uint8Array(0);
  attempt = new Uint8Array(0);
  ready = new Float64Array(0);
  start = new Float64Array(0);
  end = new Float64Array(0);
  metric = new Float32Array(0);

  /** Takes over columns: of consecutive cells from `first` on, or of the cells that they name. */
  apply(columns: CellColumns, total: number, first = 0): void {
    this.resize(Math.max(total, this.total));
    const index = columns.index.byteLength > 0 ? uint32(columns.index) : undefined;
    const ready = times(columns.ready, columns.baseUs, columns.unitUs);
    const start = times(columns.start, columns.baseUs, columns.unitUs);
    const end = times(columns.end, columns.baseUs, columns.unitUs);
    const metric = columns.metric.byteLength > 0 ? float32(columns.metric) : undefined;
    for (let at = 0; at < columns.count; at++) {
      const cell = index === undefined ? first + at : (index[at] as number);
      if (cell >= this.total) continue;
      this.status[cell] = columns.status[at] ?? 0;
      this.attempt[cell] = columns.attempt[at] ?? 0;
      this.ready[cell] = ready[at] ?? 0;
      this.start[cell] = start[at] ?? 0;
      this.end[cell] = end[at] ?? 0;
      this.metric[cell] = metric?.[at] ?? Number.NaN;
    }
    this.version++;
  }

  /** Makes room for so many cells that have not begun. */
  reserve(total: number): void {
    this.resize(total);
  }

  /** Forgets everything: what comes next is all there is. */
  clear(): void {
    this.total = 0;
    this.resize(0);
    this.version++;
  }

  counts(): Counts {
    const counts = noCounts();
    for (let cell = 0; cell < this.total; cell++) {
      const status = this.status[cell] as number;
      counts[status] = (counts[status] ?? 0) + 1;
    }
    return counts;
  }

  /** How long a cell took, or has taken by now, in microseconds; 0 when it has not begun. */
  duration(cell: number, nowUs: number): number {
    const start = this.start[cell] as number;
    if (start === 0) return 0;
    return ((this.end[cell] as number) || nowUs) - start;
  }

  private resize(total: number): void {
    if (total === this.status.length) {
      this.total = total;
      return;
    }
    this.total = total;
    this.status = grown(this.status, new Uint8Array(total));
    this.attempt = grown(this.attempt, new Uint8Array(total));
    this.ready = grown(this.ready, new Float64Array(total));
    this.start = grown(this.start, new Float64Array(total));
    this.end = grown(this.end, new Float64Array(total));
    this.metric = grown(this.metric, new Float32Array(total).fill(Number.NaN));
  }
}

function grown<T extends Uint8Array | Float64Array | Float32Array>(old: T, fresh: T): T {
  fresh.set(old.subarray(0, Math.min(old.length, fresh.length)) as never);
  return fresh;
}

export type CellSort = "index" | "duration" | "metric" | "status";

/** The cells in an order: position -> index of the cell. What has no value comes last, equal ones by index. */
export function orderCells(cells: Cells, sort: CellSort, descending: boolean, nowUs: number): Uint32Array {
  const order = new Uint32Array(cells.total);
  for (let cell = 0; cell < order.length; cell++) order[cell] = cell;
  if (sort === "index") return descending ? order.reverse() : order;
  const value = valuesBy(cells, sort, nowUs);
  const sign = descending ? -1 : 1;
  return order.sort((one, other) => {
    const a = value[one] as number;
    const b = value[other] as number;
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) ? (Number.isNaN(b) ? one - other : 1) : -1;
    return sign * (a - b) || one - other;
  });
}

export function valuesBy(cells: Cells, sort: Exclude<CellSort, "index">, nowUs: number): Float64Array {
  const values = new Float64Array(cells.total);
  for (let cell = 0; cell < cells.total; cell++) {
    if (sort === "status") values[cell] = cells.status[cell] as number;
    else if (sort === "metric") values[cell] = cells.metric[cell] as number;
    else values[cell] = cells.duration(cell, nowUs) || Number.NaN;
  }
  return values;
}
