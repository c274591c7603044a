import { expect, test } from "vitest";
import { barParts, noCounts, Status } from "./counts";

const counts = (of: Partial<Record<Status, number>>) =>
  Object.entries(of).reduce((all, [status, count]) => {
    all[Number(status)] = count;
    return all;
  }, noCounts());

test("a bar is divided by the numbers, without gaps and to its end", () => {
  const parts = barParts(counts({ [Status.SUCCEEDED]: 3, [Status.FAILED]: 1 }));
  expect(parts).toEqual([
    { status: Status.SUCCEEDED, from: 0, to: 0.75 },
    { status: Status.FAILED, from: 0.75, to: 1 },
  ]);
});

test("one of a hundred thousand is still seen", () => {
  const parts = barParts(counts({ [Status.SUCCEEDED]: 100_000, [Status.FAILED]: 1, [Status.RUNNING]: 8 }));
  for (const { from, to } of parts) expect(to - from).toBeGreaterThan(0.01);
  expect(parts.at(-1)?.to).toBe(1);
});

test("without anything there is no part", () => {
  expect(barParts(noCounts())).toEqual([]);
});
