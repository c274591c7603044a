import { expect, it } from "vitest";
import { spansPause } from "./useRun";

it("asks for many attempts seldom, unless they are drawn as they come", () => {
  expect([0, 1_000, 15_000, 100_000].map((count) => spansPause(count, "scrubber"))).toEqual([
    1_500, 1_500, 15_000, 30_000,
  ]);
  expect([0, 15_000, 100_000].map((count) => spansPause(count, "timeline"))).toEqual([1_500, 1_500, 5_000]);
});
