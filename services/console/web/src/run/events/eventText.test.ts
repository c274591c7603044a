import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { HistoryEventSchema } from "../../gen/kaonapi/run/v1/history_pb";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { eventLine, GROUPS } from "./eventText";

it("tells each kind of event in words", () => {
  const ended = create(HistoryEventSchema, {
    event: {
      case: "stepEnded",
      value: { path: "train", status: Status.FAILED, error: { type: "ValueError", message: "no rows" } },
    },
  });
  expect(eventLine(ended)).toEqual({
    kind: "step ended",
    path: "train",
    text: "failed: ValueError: no rows",
    status: Status.FAILED,
  });
  const paused = create(HistoryEventSchema, {
    event: { case: "runPaused", value: { requester: "ann", reason: "lunch" } },
  });
  expect(eventLine(paused)).toMatchObject({ kind: "run paused", text: "nothing new starts by ann: lunch" });
});

it("has a text for every kind, whatever is left out of it", () => {
  const fields = HistoryEventSchema.fields.filter((field) => field.oneof?.name === "event");
  expect(fields.length).toBeGreaterThan(20);
  for (const field of fields) {
    const event = create(HistoryEventSchema, { event: { case: field.localName, value: {} } as never });
    expect(typeof eventLine(event).text, field.name).toBe("string");
  }
});

it("offers every kind in exactly one group of the filter", () => {
  const grouped = Object.values(GROUPS).flat();
  const known = HistoryEventSchema.fields.filter((field) => field.oneof?.name === "event").map((field) => field.name);
  expect([...grouped].sort()).toEqual([...known].sort());
});

it("says so when an event is of a newer version", () => {
  expect(eventLine(create(HistoryEventSchema, {})).text).toContain("newer version");
});
