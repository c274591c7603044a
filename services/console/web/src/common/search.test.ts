import { expect, test } from "vitest";
import { formatSearch, listOf, parseSearch, textOf } from "./search";

test("what is written into an address is read from it again", () => {
  const search = { status: ["FAILED", "TIMED_OUT"], text: 'a "b" & c=d +é', path: "cycle#2/regions[US]/train" };
  expect(parseSearch(formatSearch(search))).toEqual(search);
});

test("paths stay readable, and nothing is written for what is not set", () => {
  expect(formatSearch({ path: "a/b[1]", none: undefined, empty: "" })).toBe("?path=a/b[1]");
  expect(formatSearch({})).toBe("");
});

test("a value may come once or more often", () => {
  expect(listOf("a")).toEqual(["a"]);
  expect(listOf(["a", 1, "b"])).toEqual(["a", "b"]);
  expect(listOf(undefined)).toEqual([]);
  expect(textOf(["a"])).toBeUndefined();
});
