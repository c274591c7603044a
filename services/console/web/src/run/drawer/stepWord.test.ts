import { expect, it } from "vitest";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { stepWord } from "./stepWord";

it("tells a step that waits for its next attempt from one that has not begun", () => {
  expect(stepWord(Status.PENDING, 2)).toBe("Waits for its next attempt");
  expect(stepWord(Status.PENDING, 0)).toBeUndefined();
  expect(stepWord(Status.FAILED, 2)).toBeUndefined();
});
