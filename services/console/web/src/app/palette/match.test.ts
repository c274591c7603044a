import { expect, test } from "vitest";
import { type Entry, matching, scoreOf } from "./match";

test("the beginning of a word counts more than its middle, and that more than scattered letters", () => {
  const scores = ["train", "re-train", "restrained", "t-r-a-i-n"].map((title) => scoreOf("train", title));
  expect(scores).toEqual([...scores].sort((a, b) => b - a));
  expect(scores.at(-1)).toBeGreaterThan(0);
});

test("every word of the query must be found", () => {
  expect(scoreOf("launch tour", "Launch tour")).toBeGreaterThan(0.9);
  expect(scoreOf("launch xyz", "Launch tour")).toBe(0);
  expect(scoreOf("", "anything")).toBe(1);
});

test("the best of each group comes first, and a group stays short", () => {
  const entries: Entry[] = ["b tour", "tour", "c tour"].map((title) => ({ id: title, group: "Workflows", title }));
  expect(matching(entries, "tour", 2)).toEqual([["Workflows", [entries[1], entries[0]]]]);
  expect(matching(entries, "nothing")).toEqual([]);
});
