import { expect, test } from "vitest";
import { outputsOf, partitionsOf } from "./outputs";

test("outputs are given as a JSON object, value by value", () => {
  expect(outputsOf(' {"rows": 1200, "by": {"region": ["a"]}}')).toEqual({
    values: { rows: "1200", by: '{"region":["a"]}' },
    problem: "",
  });
  expect(outputsOf("  ")).toEqual({ values: {}, problem: "" });
});

test.each(["[1]", "3", "null", "{", '"text"'])("%s is no object", (text) => {
  expect(outputsOf(text).problem).toContain("JSON object");
});

test("partitions come once each, in order", () => {
  expect(
    partitionsOf([{ partition: "2026-02" }, { partition: "" }, { partition: "2026-01" }, { partition: "" }]),
  ).toEqual(["", "2026-01", "2026-02"]);
});
