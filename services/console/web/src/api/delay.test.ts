import { expect, test } from "vitest";
import { retryDelay } from "./delay";

test("waits grow and differ; a server that was away for seconds is found within two, one that stays away is asked seldom", () => {
  expect([0, 1, 2, 10, 100, 5000].map((attempt) => retryDelay(attempt, () => 0))).toEqual([
    250, 500, 750, 750, 5000, 5000,
  ]);
  expect([0, 1, 2, 10, 100, 5000].map((attempt) => retryDelay(attempt, () => 1))).toEqual([
    500, 1000, 1500, 1500, 10_000, 10_000,
  ]);
});
