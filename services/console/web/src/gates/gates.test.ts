import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { BlockViewSchema, RunSchema, Status } from "../gen/kaonapi/run/v1/run_pb";
import { mayAnswer, waitingApprovals } from "./gates";

const gate = (path: string, kind: string, status: Status, roles: string[] = []) =>
  create(BlockViewSchema, { path, kind: "gate", gate: kind, status, roles });

test("only approvals that wait are asked for", () => {
  const blocks = [
    gate("a", "approval", Status.WAITING),
    gate("b", "signal", Status.WAITING),
    gate("c", "approval", Status.SUCCEEDED),
  ];
  expect(waitingApprovals(create(RunSchema), blocks).map((each) => each.gate.path)).toEqual(["a"]);
});

test("one of the roles is enough, and no roles are everybody's", () => {
  expect(mayAnswer(gate("a", "approval", Status.WAITING, ["owner", "lead"]), ["lead"])).toBe(true);
  expect(mayAnswer(gate("a", "approval", Status.WAITING, ["owner"]), ["lead"])).toBe(false);
  expect(mayAnswer(gate("a", "approval", Status.WAITING), [])).toBe(true);
});
