import { expect, test } from "vitest";
import { advance, chordOf, labelsOf, type Press, SEQUENCE_MS } from "./chord";

function press(key: string, more: Partial<Press> = {}): Press {
  return { key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more };
}

test("a press is named as shortcuts are written", () => {
  expect(chordOf(press("k", { metaKey: true }))).toBe("mod+k");
  expect(chordOf(press("k", { ctrlKey: true }))).toBe("mod+k");
  expect(chordOf(press("?", { shiftKey: true }))).toBe("?");
  expect(chordOf(press("X", { shiftKey: true }))).toBe("shift+x");
  expect(chordOf(press("Escape"))).toBe("escape");
});

test("two keys in a row are one shortcut", () => {
  const known = ["g r", "r", "mod+k"];
  const first = advance(known, undefined, "g", 0);
  expect(first).toEqual({ pending: { chord: "g", at: 0 } });
  expect(advance(known, first.pending, "r", 100)).toEqual({ hit: "g r" });
});

test("a second key that comes late stands for itself", () => {
  expect(advance(["g r", "r"], { chord: "g", at: 0 }, "r", SEQUENCE_MS + 1)).toEqual({ hit: "r" });
});

test("a key of no shortcut does nothing", () => {
  expect(advance(["g r"], { chord: "g", at: 0 }, "q", 10)).toEqual({});
});

test("labels follow the keyboard", () => {
  expect(labelsOf("mod+k", true)).toEqual(["⌘", "K"]);
  expect(labelsOf("g r", false)).toEqual(["G", "then", "R"]);
});
