import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type Run, RunSchema } from "../gen/kaonapi/run/v1/run_pb";
import { type Changes, mergeRuns, withUpdate } from "./merge";

const run = (runId: string, lastSeq = 1): Run => create(RunSchema, { runId, lastSeq: BigInt(lastSeq) });
const ids = (runs: readonly Run[]) => runs.map(({ runId, lastSeq }) => `${runId}:${lastSeq}`);
const changesOf = (...runs: Run[]): Changes =>
  withUpdate(new Map(), { runs: runs.map((each) => line(each)), removed: [] });
const line = (each: Run) => ({ $typeName: "kaonapi.view.v1.RunLine" as const, run: each, longParams: [] });

test("a run that changed stands in its place, and one that no longer matches is gone", () => {
  const changes = withUpdate(changesOf(run("b", 5)), { runs: [], removed: ["a"] });
  expect(ids(mergeRuns([run("c"), run("b"), run("a")], changes, "newest", true))).toEqual(["c:1", "b:5"]);
});

test("new runs come in by the order of their submission", () => {
  expect(ids(mergeRuns([run("c"), run("a")], changesOf(run("d"), run("b")), "newest", false))).toEqual([
    "d:1",
    "c:1",
    "b:1",
    "a:1",
  ]);
  expect(ids(mergeRuns([run("a"), run("c")], changesOf(run("b"), run("d")), "oldest", true))).toEqual([
    "a:1",
    "b:1",
    "c:1",
    "d:1",
  ]);
});

test("a run below the pages that were read waits for its page", () => {
  expect(ids(mergeRuns([run("c"), run("b")], changesOf(run("a")), "newest", false))).toEqual(["c:1", "b:1"]);
  expect(ids(mergeRuns([run("c"), run("b")], changesOf(run("a")), "newest", true))).toEqual(["c:1", "b:1", "a:1"]);
});

test("by duration nothing comes in between", () => {
  expect(ids(mergeRuns([run("b")], changesOf(run("c"), run("b", 2)), "longest", true))).toEqual(["b:2"]);
});

test("a page that is newer than the stream counts more", () => {
  expect(ids(mergeRuns([run("a", 9)], changesOf(run("a", 5)), "newest", true))).toEqual(["a:9"]);
});

test("the same update twice changes nothing", () => {
  const once = changesOf(run("b", 2));
  expect(withUpdate(once, { runs: [line(run("b", 2))], removed: [] })).toEqual(once);
});
