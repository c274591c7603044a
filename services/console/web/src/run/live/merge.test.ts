import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { type RunView, RunViewSchema } from "../../gen/kaonapi/view/v1/run_view_pb";
import { mergeRun } from "./merge";

const view = (init: MessageInitShape<typeof RunViewSchema>): RunView => create(RunViewSchema, init);

const FIRST = view({
  run: { runId: "r", lastSeq: 3n },
  steps: [
    { path: "load", status: Status.SUCCEEDED },
    { path: "cycle#1/check", status: Status.RUNNING },
  ],
  blocks: [{ path: "cycle", status: Status.RUNNING }],
  folded: [{ block: "cycle#1/regions", path: "cycle#1/regions[]/train", total: 2n }],
  iterations: [{ block: "cycle", number: 1 }],
});

it("replaces what has changed where it stands, adds what is new, twice without harm", () => {
  const change = view({
    run: { runId: "r", lastSeq: 5n },
    steps: [
      { path: "cycle#1/check", status: Status.SUCCEEDED },
      { path: "publish", status: Status.READY },
    ],
    iterations: [{ block: "cycle", number: 2 }],
  });
  const once = mergeRun(FIRST, change, false);
  const twice = mergeRun(once, change, false);
  expect(twice).toEqual(once);
  expect(once.steps.map((step) => step.path)).toEqual(["load", "cycle#1/check", "publish"]);
  expect(once.steps[1]?.status).toBe(Status.SUCCEEDED);
  expect(once.iterations).toHaveLength(2);
  expect(once.run?.lastSeq).toBe(5n);
});

it("forgets what a reset has dropped, with all that was in it", () => {
  const after = mergeRun(FIRST, view({ run: { runId: "r" }, removed: ["cycle", "cycle#1/check"] }), false);
  expect(after.steps.map((step) => step.path)).toEqual(["load"]);
  expect(after.blocks).toEqual([]);
  expect(after.folded).toEqual([]);
  expect(after.iterations).toEqual([]);
});

it("begins anew with a snapshot", () => {
  const snapshot = view({ run: { runId: "r" }, steps: [{ path: "other" }] });
  expect(mergeRun(FIRST, snapshot, true)).toBe(snapshot);
});
