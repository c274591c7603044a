import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { RunSchema, Status } from "../gen/kaonapi/run/v1/run_pb";
import { groupFailures, groupLate, stripsOf } from "./failures";

const run = (init: MessageInitShape<typeof RunSchema>) => create(RunSchema, init);
const failed = (runId: string, workflow: string, type: string, end: number) =>
  run({
    runId,
    workflow,
    status: Status.FAILED,
    error: { type, message: `of ${runId}` },
    endTime: timestampFromMs(end),
  });

test("runs that failed the same way are one thing to look at, with the newest message", () => {
  const groups = groupFailures([
    failed("a", "tour", "ValueError", 1),
    failed("b", "index", "ValueError", 2),
    failed("c", "tour", "ValueError", 3),
    failed("d", "tour", "LostRunners", 0),
  ]);
  expect(groups.map(({ workflow, type, runs, message }) => [workflow, type, runs.length, message])).toEqual([
    ["tour", "ValueError", 2, "of c"],
    ["index", "ValueError", 1, "of b"],
    ["tour", "LostRunners", 1, "of d"],
  ]);
  expect(groups.map(({ quarantined }) => quarantined)).toEqual([false, false, true]);
});

test("a run without an error is told by its status", () => {
  expect(groupFailures([run({ status: Status.TIMED_OUT })])[0]!.type).toBe("Timeout");
});

test("a strip has the newest runs, and counts what has ended", () => {
  const ended = (runId: string, status: Status, millis: number) =>
    run({ runId, workflow: "tour", status, startTime: timestampFromMs(0), endTime: timestampFromMs(millis) });
  const [strip] = stripsOf(
    [
      run({ runId: "d", workflow: "tour", status: Status.RUNNING }),
      ended("c", Status.SUCCEEDED, 30),
      ended("b", Status.FAILED, 99),
      ended("a", Status.SUCCEEDED, 10),
    ],
    3,
  );
  expect(strip!.runs.map(({ runId }) => runId)).toEqual(["d", "c", "b"]);
  expect(strip).toMatchObject({ success: 0.5, median: 30 });
});

test("the run of a workflow that has been late for longest comes first", () => {
  const late = (runId: string, workflow: string, start: number) =>
    run({ runId, workflow, startTime: timestampFromMs(start) });
  const groups = groupLate([late("a", "tour", 5), late("b", "index", 9), late("c", "tour", 1)]);
  expect(groups.map(({ workflow, runs }) => [workflow, runs.map(({ runId }) => runId)])).toEqual([
    ["tour", ["c", "a"]],
    ["index", ["b"]],
  ]);
});
