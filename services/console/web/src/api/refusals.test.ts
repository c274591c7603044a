import { expect, test } from "vitest";
import { refusalOf } from "./refusals";
import { sessionOf } from "./session";

test("who lacks a role is told which one", () => {
  const session = sessionOf({ refused: { CancelRun: "operator", SubmitRun: 3 } });
  expect(refusalOf(session, "CancelRun")).toBe("Needs the role operator, which you do not have.");
  expect(refusalOf(session, "SubmitRun")).toBe("");
  expect(refusalOf(session, "AnswerGate")).toBe("");
});

test("what only shows takes no command of anybody", () => {
  expect(refusalOf(sessionOf({ readOnly: true }), "AnswerGate")).toContain("only shows");
});

test("of an older server nothing is known", () => {
  expect(refusalOf(sessionOf({ roles: ["viewer"] }), "CancelRun")).toBe("");
});
