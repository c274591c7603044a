import type { Iteration } from "../../gen/kaonapi/view/v1/run_view_pb";

export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

/** Metrics and numeric outputs over the iterations of a repeat: those that change first, as what converges changes. */
export function seriesOf(passes: readonly Iteration[]): Series[] {
  const names = new Set(passes.flatMap((pass) => [...Object.keys(pass.metrics), ...Object.keys(pass.outputs)]));
  const series = [...names].map((name) => ({
    name,
    values: passes.map((pass) => pass.metrics[name] ?? pass.outputs[name] ?? null),
  }));
  return series.sort((one, other) => variety(other) - variety(one) || one.name.localeCompare(other.name));
}

function variety(series: Series): number {
  return new Set(series.values.filter((value) => value !== null)).size;
}
