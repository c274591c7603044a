import { expect, test } from "vitest";
import { Status } from "../gen/kaonapi/run/v1/run_pb";
import { FIELDS } from "./fields";
import { chipsOf, filterOf, isFiltered } from "./filter";
import { validateRunsSearch } from "./search";

const NOW = Date.UTC(2026, 10, 29, 12);

test("an address becomes a filter of the server", () => {
  const search = validateRunsSearch({
    status: ["FAILED", "NONSENSE"],
    since: "1h",
    label: "team=a=b",
    late: "yes",
    quarantined: "yes",
    text: "x",
  });
  expect(filterOf(search, NOW)).toMatchObject({
    statuses: [Status.FAILED],
    createdFrom: { seconds: BigInt(NOW / 1000 - 3600) },
    labels: { team: "a=b" },
    late: true,
    quarantined: true,
    text: "x",
  });
});

test("what an address says wrongly is left out", () => {
  const search = validateRunsSearch({ order: "sideways", since: ["a", "b"], status: "NONSENSE", late: "no" });
  expect(isFiltered(search)).toBe(false);
  expect(filterOf({ since: "tomorrow" }, NOW).createdFrom).toBeUndefined();
});

test("each chip takes away its own filter", () => {
  const search = validateRunsSearch({ workflow: "tour", label: ["a=1", "b=2"], since: "2026-11-29T10:00:00Z" });
  const chips = chipsOf(search, "utc");
  expect(chips.map(({ field, value }) => `${field} ${value}`)).toEqual([
    "Workflow tour",
    "Label a=1",
    "Label b=2",
    "Since 2026-11-29 10:00:00",
  ]);
  expect(chips[1]!.without.label).toEqual(["b=2"]);
  expect(chips[0]!.without.workflow).toBeUndefined();
});

test("values of parameters are JSON, or plain texts without quotes", () => {
  const search = validateRunsSearch({ param: ["rate=0.1", "name=a=b", 'quoted="7"', "nameless", "=1"], parent: "r1" });
  expect(filterOf(search, NOW)).toMatchObject({
    paramsJson: { rate: "0.1", name: '"a=b"', quoted: '"7"' },
    parentRunId: "r1",
  });
});

test.each(FIELDS)(
  "a filter by %s stands in the address, asks the server, and has a chip that takes it away",
  (field) => {
    const value = field === "late" || field === "quarantined" ? "yes" : "a=b";
    const search = validateRunsSearch({ [field]: value });
    expect(filterOf(search, NOW)).not.toEqual(filterOf({}, NOW));
    const chips = chipsOf(search, "utc");
    expect(chips).toHaveLength(1);
    expect(filterOf(chips[0]!.without, NOW)).toEqual(filterOf({}, NOW));
  },
);
