import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { RunSchema, Status } from "../gen/kaonapi/run/v1/run_pb";
import { choose, eachOf, planOf } from "./bulk";

const run = (runId: string, status: Status) => create(RunSchema, { runId, status });

test("an action leaves out what it cannot be done with, and says why", () => {
  const runs = [run("a", Status.RUNNING), run("b", Status.FAILED), run("c", Status.SUCCEEDED)];
  expect(planOf("cancel", runs).apply.map(({ runId }) => runId)).toEqual(["a"]);
  const retry = planOf("retry", runs);
  expect(retry.apply.map(({ runId }) => runId)).toEqual(["b"]);
  expect(retry.leave.map(({ run: { runId }, reason }) => `${runId} ${reason}`)).toEqual([
    "a has not ended",
    "c has not failed",
  ]);
  expect(planOf("rerun", runs).apply).toHaveLength(3);
});

test("a click chooses one, and with a beginning all between", () => {
  const ids = ["a", "b", "c", "d"];
  expect(choose(new Set(), ids, "c", undefined)).toEqual(new Set(["c"]));
  expect(choose(new Set(["d"]), ids, "b", "d")).toEqual(new Set(["b", "c", "d"]));
  expect(choose(new Set(["a", "b", "c"]), ids, "a", "b")).toEqual(new Set(["c"]));
  expect(choose(new Set(), ids, "b", "gone")).toEqual(new Set(["b"]));
});

test("one failure stops none of the others, and no more than so many go at once", async () => {
  let going = 0;
  let most = 0;
  const told: [number, boolean][] = [];
  await eachOf(
    [1, 2, 3, 4, 5],
    2,
    async (item) => {
      going += 1;
      most = Math.max(most, going);
      await Promise.resolve();
      going -= 1;
      if (item === 2) throw new Error("no");
    },
    (item, _result, error) => told.push([item, error !== undefined]),
  );
  expect(most).toBe(2);
  expect(told.sort()).toEqual([
    [1, false],
    [2, true],
    [3, false],
    [4, false],
    [5, false],
  ]);
});
