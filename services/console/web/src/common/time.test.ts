import { expect, test } from "vitest";
import { formatAgo, formatDuration, formatExact, formatShort, formatTime, millisOf, parseSince } from "./time";

const AT = Date.UTC(2026, 10, 29, 13, 5, 7, 42);

test("a time is shown in the zone that was asked for", () => {
  expect(formatTime(AT, "utc")).toBe("2026-11-29 13:05:07");
  expect(formatExact(AT, "utc")).toBe("2026-11-29 13:05:07.042 UTC");
  expect(formatExact(AT, "local")).toMatch(/^2026-11-\d\d \d\d:\d\d:07\.042 [+-]\d\d:\d\d$/);
});

test("a dense list leaves out the day of today", () => {
  expect(formatShort(AT, AT + 1000, "utc")).toBe("13:05:07");
  expect(formatShort(AT, AT + 86_400_000, "utc")).toBe("11-29 13:05");
});

test.each([
  [0, "0 ms"],
  [-5, "0 ms"],
  [999.4, "999 ms"],
  [999.6, "1.0 s"],
  [59_949, "59.9 s"],
  [59_960, "60.0 s"],
  [245_000, "4 min 05 s"],
  [7_800_000, "2 h 10 min"],
  [273_600_000, "3 d 4 h"],
])("%d ms reads %s", (millis, text) => {
  expect(formatDuration(millis)).toBe(text);
});

test.each([
  [500, "now"],
  [-500, "now"],
  [12_000, "12 s ago"],
  [300_000, "5 min ago"],
  [10_800_000, "3 h ago"],
  [172_800_000, "2 d ago"],
])("an age of %d ms reads %s", (age, text) => {
  expect(formatAgo(AT - age, AT)).toBe(text);
});

test("since is an age or a date, and nothing else", () => {
  expect(parseSince("30m", AT)).toBe(AT - 1_800_000);
  expect(parseSince("2026-11-29T13:05:07.042Z", AT)).toBe(AT);
  expect(parseSince("yesterday", AT)).toBeUndefined();
  expect(parseSince("9999999h", AT)).toBeUndefined();
});

test("a timestamp that is absent has no milliseconds", () => {
  expect(millisOf(undefined)).toBeUndefined();
});
