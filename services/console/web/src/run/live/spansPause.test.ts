import { expect, it } from "vitest";
import { expectedSpans, spansPause } from "./useRun";

it("asks for many attempts seldom, unless they are drawn as they come", () => {
  expect([0, 1_000, 15_000, 100_000].map((count) => spansPause(count, "scrubber"))).toEqual([
    1_500, 1_500, 15_000, 30_000,
  ]);
  expect([0, 15_000, 100_000].map((count) => spansPause(count, "timeline"))).toEqual([1_500, 1_500, 5_000]);
});

it("expects the attempts of a foreach that has just begun before it has seen one of them", () => {
  const begun = { count: 1, seq: 6 };
  expect(expectedSpans(begun, 6)).toBe(1);
  expect(expectedSpans(begun, 30_006)).toBe(16_384);
  expect(spansPause(expectedSpans(begun, 30_006), "scrubber")).toBe(16_384);
});

it("does not begin a pause anew with each event", () => {
  const known = { count: 15_000, seq: 30_000 };
  const expected = new Set(Array.from({ length: 45_000 }, (_, more) => expectedSpans(known, 30_000 + more)));
  expect([...expected]).toEqual([16_384, 32_768]);
});
