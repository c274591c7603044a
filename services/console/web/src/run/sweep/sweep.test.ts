import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { CellViewSchema } from "../../gen/kaonapi/view/v1/cells_pb";
import { EarlyStoppingSchema, Goal } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { Status } from "../model/counts";
import {
  type Axis,
  axesOf,
  bestOf,
  bestSoFar,
  brushAfter,
  brushed,
  importance,
  placeOn,
  rungsOf,
  type Trial,
  trialOf,
} from "./sweep";

function trial(
  index: number,
  point: Record<string, unknown>,
  metric: number | undefined,
  status = Status.SUCCEEDED,
): Trial {
  const seconds = status === Status.RUNNING ? undefined : { seconds: BigInt(100 - index), nanos: 0 };
  return trialOf(
    create(CellViewSchema, { index: BigInt(index), itemJson: JSON.stringify(point), metric, status, endTime: seconds }),
  );
}

const TRIALS = [
  trial(0, { rate: 0.001, kind: "a" }, 0.9),
  trial(1, { rate: 0.01, kind: "b" }, 0.5),
  trial(2, { rate: 0.1, kind: "a" }, 0.2),
  trial(3, { rate: 1, kind: "b" }, 0.1, Status.SKIPPED),
  trial(4, { rate: 0.5, kind: "c" }, undefined, Status.RUNNING),
];

describe("axesOf", () => {
  const axes = axesOf(TRIALS, "loss");
  it("finds numbers, names and the metric; wide ranges on a logarithm", () => {
    expect(axes.map((axis) => axis.name)).toEqual(["kind", "rate", "loss"]);
    expect(axes[0]?.names).toEqual(["a", "b", "c"]);
    expect(axes[1]).toMatchObject({ low: 0.001, high: 1, log: true });
    expect(placeOn(axes[1] as Axis, 0.1)).toBeCloseTo(2 / 3);
    expect(placeOn(axes[0] as Axis, "c")).toBe(1);
    expect(placeOn(axes[0] as Axis, undefined)).toBeUndefined();
  });

  it("keeps what lies within all brushes", () => {
    const kept = TRIALS.filter((one) => brushed(one, axes, "loss", { rate: [0.3, 1], kind: [0, 0.5] }));
    expect(kept.map((one) => one.index)).toEqual([1, 2, 3]);
  });
});

it("takes the best of those that were not stopped, by either goal", () => {
  expect(bestOf(TRIALS, Goal.MINIMIZE)?.index).toBe(2);
  expect(bestOf(TRIALS, Goal.MAXIMIZE)?.index).toBe(0);
  expect(bestOf([], Goal.MINIMIZE)).toBeUndefined();
});

it("tells the best so far in the order in which trials ended", () => {
  expect(bestSoFar(TRIALS.slice(0, 3), Goal.MINIMIZE).map((entry) => entry.best)).toEqual([0.2, 0.2, 0.2]);
  expect(bestSoFar(TRIALS.slice(0, 3), Goal.MAXIMIZE).map((entry) => entry.best)).toEqual([0.2, 0.5, 0.9]);
});

it("tells which axis the metric goes with", () => {
  const many = Array.from({ length: 20 }, (_, at) =>
    trial(at, { rate: at, noise: (at * 7) % 20, kind: at % 2 ? "a" : "b" }, at * at),
  );
  const axes = axesOf(many, "loss");
  const of = (name: string) => importance(many, axes.find((axis) => axis.name === name) as Axis, "loss") as number;
  expect(of("rate")).toBeCloseTo(1);
  expect(of("noise")).toBeLessThan(0.3);
  expect(of("kind")).toBeLessThan(0.1);
  expect(importance(many.slice(0, 3), axes[0] as Axis, "loss")).toBeUndefined();
});

it("knows the rungs of successive halving", () => {
  const early = create(EarlyStoppingSchema, {
    metric: "loss",
    rule: { case: "halving", value: { minStep: 2n, eta: 2 } },
  });
  expect(rungsOf(early, 40)).toEqual([2, 4, 8, 16, 32]);
  expect(rungsOf(undefined, 40)).toEqual([]);
});

it("moves one end of what is kept by a key, never past the other one", () => {
  expect(brushAfter([0, 1], 1, "PageDown")).toEqual([0, 0.8]);
  expect(brushAfter([0.4, 0.42], 0, "ArrowUp")).toEqual([0.42, 0.42]);
  expect(brushAfter([0.4, 0.8], 1, "Home")).toEqual([0.4, 0.4]);
  expect(brushAfter([0.4, 0.8], 0, "End")).toEqual([0.8, 0.8]);
  expect(brushAfter([0.02, 0.8], 0, "ArrowLeft")).toEqual([0, 0.8]);
  expect(brushAfter([0.4, 0.8], 0, "Escape")).toEqual([0, 1]);
  expect(brushAfter([0.4, 0.8], 0, "x")).toBeUndefined();
});
