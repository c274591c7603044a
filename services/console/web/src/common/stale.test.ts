import { expect, it } from "vitest";
import { staleText } from "./stale";

it("says why a page is old, and how old", () => {
  expect(staleText("the coordinator does not answer", 1_000, 6_000)).toBe(
    "The coordinator does not answer. What you see is from 5 s ago.",
  );
  expect(staleText("This browser is offline.", 5_500, 6_000)).toBe(
    "This browser is offline. What you see is from a moment ago.",
  );
});

it("names no age where nothing has come yet", () => {
  expect(staleText("you lack the role viewer", 0, Date.UTC(2026, 10, 30))).toBe("You lack the role viewer.");
});
