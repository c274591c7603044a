import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { BlockViewSchema, Status } from "../gen/kaonapi/run/v1/run_pb";
import { payloadOf } from "./GateFields";
import { mayAnswer } from "./gates";

const gate = (path: string, kind: string, status: Status, roles: string[] = []) =>
  create(BlockViewSchema, { path, kind: "gate", gate: kind, status, roles });

test("one of the roles is enough, and no roles are everybody's", () => {
  expect(mayAnswer(gate("a", "approval", Status.WAITING, ["owner", "lead"]), ["lead"])).toBe(true);
  expect(mayAnswer(gate("a", "approval", Status.WAITING, ["owner"]), ["lead"])).toBe(false);
  expect(mayAnswer(gate("a", "approval", Status.WAITING), [])).toBe(true);
});

test("a payload is an object of the fields, with numbers as they were typed", () => {
  expect(payloadOf({ rows: "90071992547409931", note: '"a"' })).toBe('{"rows":90071992547409931,"note":"a"}');
});
