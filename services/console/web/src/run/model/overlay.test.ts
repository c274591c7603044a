import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { RunViewSchema } from "../../gen/kaonapi/view/v1/run_view_pb";
import { worstOf } from "./counts";
import { overlay, passesOf } from "./overlay";
import { atOrUnder, nodeName, parsePath, pattern, scopeOf } from "./paths";

const VIEW = create(RunViewSchema, {
  steps: [
    { path: "load", name: "load", status: Status.SUCCEEDED },
    { path: "cycle#1/check", name: "check", status: Status.SUCCEEDED },
    { path: "cycle#2/check", name: "check", status: Status.RUNNING },
  ],
  blocks: [
    { path: "cycle", kind: "repeat", status: Status.RUNNING },
    { path: "cycle#1/regions", kind: "for_each", status: Status.SUCCEEDED, total: 3 },
    { path: "cycle#2/regions", kind: "for_each", status: Status.RUNNING, total: 5 },
  ],
  folded: [
    {
      block: "cycle#2/regions",
      path: "cycle#2/regions[]",
      kind: "cell",
      counts: [{ status: Status.RUNNING, count: 2n }],
    },
    {
      block: "cycle#2/regions",
      path: "cycle#2/regions[]/train",
      kind: "step",
      counts: [
        { status: Status.SUCCEEDED, count: 1n },
        { status: Status.RUNNING, count: 1n },
      ],
      total: 2n,
    },
  ],
  iterations: [
    { block: "cycle", number: 2, status: Status.RUNNING },
    { block: "cycle", number: 1, status: Status.SUCCEEDED },
  ],
});

it("shows the newest pass unless another one is chosen", () => {
  const newest = overlay(VIEW, {});
  expect(newest.get("check")?.path).toBe("cycle#2/check");
  expect(newest.get("cycle")).toMatchObject({ pass: 2, passes: [{ number: 1 }, { number: 2 }] });
  expect(newest.get("train")).toMatchObject({ status: Status.RUNNING, path: "cycle#2/regions[]/train" });
  const first = overlay(VIEW, { cycle: 1 });
  expect(first.get("check")?.path).toBe("cycle#1/check");
  expect(first.has("train")).toBe(false);
});

it("counts the cells that have not begun", () => {
  const cells = overlay(VIEW, {}).get("regions")?.cells;
  expect(cells?.[Status.RUNNING]).toBe(2);
  expect(cells?.[Status.UNSPECIFIED]).toBe(3);
});

it("shows many as the status that is to be seen first", () => {
  const counts = new Array(13).fill(0);
  counts[Status.SUCCEEDED] = 99_999;
  expect(worstOf(counts)).toBe(Status.SUCCEEDED);
  counts[Status.FAILED] = 1;
  expect(worstOf(counts)).toBe(Status.FAILED);
});

it("reads paths as the engine writes them", () => {
  expect(parsePath("cycle#2/regions[US]/train")).toEqual([
    { name: "cycle", cell: "#2" },
    { name: "regions", cell: "[US]" },
    { name: "train", cell: "" },
  ]);
  expect(parsePath("choose=else/small")[0]).toEqual({ name: "choose", cell: "=else" });
  expect(parsePath("regions[]/train")[0]).toEqual({ name: "regions", cell: "[]" });
  expect(nodeName("cycle#2/regions[US]")).toBe("regions");
  expect(pattern("cycle#2/regions[US]/train")).toBe("cycle/regions/train");
  expect(scopeOf("cycle#2/check")).toBe("cycle#2");
  expect(atOrUnder("cycle#2/check", "cycle")).toBe(true);
  expect(atOrUnder("cycles", "cycle")).toBe(false);
});

it("shows the iterations in which a path lies", () => {
  expect(passesOf("a#2/b[x#1]/c#13/step")).toEqual({ a: 2, "a#2/b[x#1]/c": 13 });
  expect(passesOf("load")).toEqual({});
  expect(overlay(VIEW, passesOf("cycle#1/check")).get("check")?.path).toBe("cycle#1/check");
});
