import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { RunSchema, Status } from "../gen/kaonapi/run/v1/run_pb";
import { runsCsv } from "./export";

test("a run is a line, its times are UTC, and no cell is a formula", () => {
  const run = create(RunSchema, {
    runId: "r1",
    workflow: "=HYPERLINK(1)",
    status: Status.TIMED_OUT,
    createTime: timestampFromMs(0),
    startTime: timestampFromMs(1000),
    endTime: timestampFromMs(3500),
    labels: { team: "a, b" },
    error: { type: "ValueError", message: 'said "no"' },
  });
  const [head, line] = runsCsv([run]).split("\r\n");
  expect(head).toMatch(/^run,workflow,/);
  expect(line).toBe(
    'r1,\'=HYPERLINK(1),,timed_out,1970-01-01T00:00:00.000Z,1970-01-01T00:00:01.000Z,1970-01-01T00:00:03.500Z,2.500,0,0,,,0,"team=a, b",,"ValueError: said ""no"""',
  );
});
