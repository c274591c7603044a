import { expect, test } from "vitest";
import { retryDelay } from "./delay";

test("waits grow, differ, and stay below ten seconds", () => {
  expect([0, 1, 2, 10].map((attempt) => retryDelay(attempt, () => 0))).toEqual([250, 500, 1000, 5000]);
  expect([0, 1, 2, 10].map((attempt) => retryDelay(attempt, () => 1))).toEqual([500, 1000, 2000, 10_000]);
});
