import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { RunViewSchema } from "../../gen/kaonapi/view/v1/run_view_pb";
import { WorkflowDefinitionSchema } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { layoutRequest } from "../canvas/request";
import { graphModel, NODE_LIMIT } from "./graph";
import { cellsOf, childrenOf, chosenCell, joined, openedName } from "./inner";
import { overlay } from "./overlay";

const sub = (name: string) => ({ name, kind: { case: "subWorkflow" as const, value: { workflow: name } } });
const step = (name: string) => ({ name, kind: { case: "step" as const, value: { type: "python" } } });
const defined = (blocks: (ReturnType<typeof sub> | ReturnType<typeof step>)[], edges: [string, string][] = []) =>
  create(WorkflowDefinitionSchema, {
    body: { blocks, edges: edges.map(([source, target]) => ({ source, target })) },
  });
const view = (child: string, name: string, status: Status) =>
  create(RunViewSchema, {
    steps: [{ name: "fit", path: "fit", status }],
    blocks: [{ path: name, kind: "sub_workflow", status: Status.RUNNING, childRunId: child }],
  });

it("draws what is in an open sub-workflow under names of its own, also where both have a node of one name", () => {
  const inner = new Map([
    ["train", defined([step("fit"), sub("deep")], [["fit", "deep"]])],
    ["train > deep", defined([step("fit")])],
  ]);
  const model = graphModel(defined([step("fit"), sub("train")], [["fit", "train"]]), NODE_LIMIT, inner);
  expect([...model.byName.keys()]).toEqual(["fit", "train", "train > fit", "train > deep", "train > deep > fit"]);
  expect(model.byName.get("train > deep > fit")).toMatchObject({ label: "fit", within: "train > deep", depth: 2 });
  const [, train] = layoutRequest(model, new Set()).nodes;
  expect(train?.scopes[0]?.edges).toEqual([{ source: "train > fit", target: "train > deep" }]);
});

it("tells how it stands by the run by which it began", () => {
  const outer = overlay(view("run-2", "train", Status.SUCCEEDED), {});
  const views = new Map([
    ["run-2", view("run-3", "deep", Status.RUNNING)],
    ["run-3", view("", "other", Status.FAILED)],
  ]);
  const runs = childrenOf(["train > deep", "train", "never"], outer, views);
  expect([...runs]).toEqual([
    ["train", "run-2"],
    ["train > deep", "run-3"],
  ]);
  const states = joined(outer, runs, views);
  expect(["fit", "train > fit", "train > deep > fit"].map((name) => states.get(name)?.status)).toEqual([
    Status.SUCCEEDED,
    Status.RUNNING,
    Status.FAILED,
  ]);
  expect(joined(outer, new Map(), views)).toBe(outer);
});

it("names the cell whose sub-workflow is open by the path of that", () => {
  expect(chosenCell("cycle#2/items[a/b c]/tune/train")).toEqual({
    name: "train",
    path: "cycle#2/items[a/b c]/tune/train",
    scope: "cycle#2/items[a/b c]",
    levels: [{ scope: "cycle#2/items[a/b c]", key: "a/b c", block: "cycle#2/items", nodes: ["tune/train"] }],
  });
  expect([chosenCell("train"), chosenCell("train > deep"), chosenCell("items[3]")]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect([openedName("items[3]/train"), openedName("train > deep")]).toEqual(["train", "train > deep"]);
});

it("names the cell of each foreach around a sub-workflow, and the way on from it", () => {
  expect(chosenCell("days[mon]/loop#2/items[US]/train")).toEqual({
    name: "train",
    path: "days[mon]/loop#2/items[US]/train",
    scope: "days[mon]/loop#2/items[US]",
    levels: [
      { scope: "days[mon]", key: "mon", block: "days", nodes: ["loop/items", "train"] },
      { scope: "days[mon]/loop#2/items[US]", key: "US", block: "days[mon]/loop#2/items", nodes: ["train"] },
    ],
  });
});

it("opens what is in cells, and in cells of cells", () => {
  const at = (path: string) => cellsOf({ path, status: Status.RUNNING });
  expect(at("cycle#2/items[]/tune/train")).toEqual({ block: "cycle#2/items", nodes: ["tune/train"] });
  expect(at("days[]/loop#/items[]/train")).toEqual({ block: "days", nodes: ["loop/items", "train"] });
  expect([at("train"), cellsOf(undefined)]).toEqual([undefined, undefined]);
});

it("begins with the runs of chosen cells, and finds what is in them", () => {
  const views = new Map([["run-2", view("run-3", "deep", Status.RUNNING)]]);
  const runs = childrenOf(
    ["train > deep"],
    overlay(view("", "x", Status.RUNNING), {}),
    views,
    new Map([["train", "run-2"]]),
  );
  expect([...runs]).toEqual([
    ["train", "run-2"],
    ["train > deep", "run-3"],
  ]);
});
