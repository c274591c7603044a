import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { RunSchema, Status } from "../gen/kaonapi/run/v1/run_pb";
import { CommandPlanSchema } from "../gen/kaonapi/run/v1/run_service_pb";
import { forEachPath, outcomeText, planText } from "./commands";

it("says what a command did, and when its owner has not obeyed yet", () => {
  expect(outcomeText("Paused", create(RunSchema, { status: Status.PAUSED }))).toBe("Paused. The run is now: paused.");
  const waiting = create(RunSchema, { status: Status.RUNNING, commandsWaiting: 1 });
  expect(outcomeText("Paused", waiting)).toContain("has not applied it yet");
});

it("says what a command would do, or why it would be refused", () => {
  const plan = create(CommandPlanSchema, { resetsTotal: 2n, steps: { FAILED: 1n }, kept: 7n, continued: ["child"] });
  expect(planText(plan)).toBe(
    "2 steps and blocks would begin anew, 1 step that has run would run again, 7 steps keep their outputs, 1 sub-workflow run would go on.",
  );
  expect(planText(create(CommandPlanSchema, { refusal: "nothing has failed" }))).toContain("nothing has failed");
});

it("stops at the first command that fails, and says how far it came", async () => {
  const sent: string[] = [];
  const send = async (path: string): Promise<void> => {
    if (path === "c") throw new Error("no");
    sent.push(path);
  };
  expect(await forEachPath(["a", "b", "c", "d"], send, () => undefined)).toMatchObject({ done: 2 });
  expect(sent).toEqual(["a", "b"]);
});
