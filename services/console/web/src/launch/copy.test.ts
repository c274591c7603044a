import { expect, test } from "vitest";
import { asCli, asPython, asPythonValue, shellWord } from "./copy";

const LAUNCH = {
  workflow: "tour",
  params: { regions: '["US","it\'s"]', fast: "true" },
  labels: { team: "search" },
  priority: 3,
};

test("a word of the shell keeps every character", () => {
  expect(shellWord("a=1")).toBe("a=1");
  expect(shellWord("a b")).toBe("'a b'");
  expect(shellWord("it's $(rm)")).toBe(`'it'\\''s $(rm)'`);
});

test("the command names what is set", () => {
  expect(asCli(LAUNCH)).toBe(
    `kaon submit tour \\\n  -p 'regions=["US","it'\\''s"]' \\\n  -p fast=true \\\n  --label team=search \\\n  --priority 3`,
  );
  expect(asCli({ workflow: "tour", params: {}, labels: {}, priority: 0 })).toBe("kaon submit tour");
});

test("the words of JSON become those of Python, and strings stay", () => {
  expect(asPythonValue('{"a":[true,null,"true \\" null"]}')).toBe('{"a":[True,None,"true \\" null"]}');
});

test("the Python names what is set", () => {
  expect(asPython(LAUNCH)).toContain(
    '        params={\n            "regions": ["US","it\'s"],\n            "fast": True,\n        },\n',
  );
  expect(asPython({ workflow: "tour", params: {}, labels: {}, priority: 0 })).toContain('submit_registered("tour")\n');
});
