import { expect, test } from "vitest";
import { clipped, counted, csv, csvCell, formatCount, makerText, sentence, shortId, shown } from "./text";

test("marks that turn text around are spelled out", () => {
  expect(shown("invoice\u202Egpj.exe")).toBe("invoice⟨U+202E⟩gpj.exe");
  expect(shown("a\u0000b\u200Bc")).toBe("a⟨U+0000⟩b⟨U+200B⟩c");
  expect(shown("two\nlines\tand ünïcode 工")).toBe("two\nlines\tand ünïcode 工");
});

test("what joins emoji is no hidden character", () => {
  const family =
    "\u{1F468}\u200D\u{1F469}\u200D\u{1F467} \u{1F3F3}\uFE0F\u200D\u{1F308} \u{1F9D1}\u{1F3FD}\u200D\u{1F680}";
  expect(shown(family)).toBe(family);
  expect(shown("a\u200Db \u{1F468}\u200D")).toBe("a⟨U+200D⟩b \u{1F468}⟨U+200D⟩");
});

test("long text says how much of it is missing", () => {
  expect(clipped("abcdef", 6)).toBe("abcdef");
  expect(clipped("abcdef", 4)).toBe("abcd… (2 more characters)");
});

test("counts are grouped and agree with their noun", () => {
  expect(formatCount(1234567)).toBe("1\u202f234\u202f567");
  expect(counted(1, "run")).toBe("1 run");
  expect(counted(0, "match", "matches")).toBe("0 matches");
});

test.each(["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＠A1"])(
  "a formula %j is disarmed",
  (value) => {
    expect(csvCell(value).replace(/^"/, "")).toMatch(/^'/);
  },
);

test("numbers stay numbers, and quotes are doubled", () => {
  expect(csvCell("-1.5")).toBe("-1.5");
  expect(csvCell('a "b", c')).toBe('"a ""b"", c"');
  expect(
    csv([
      ["a", "b"],
      ["1", "x\ny"],
    ]),
  ).toBe('a,b\r\n1,"x\ny"\r\n');
});

test("an id keeps its end, which tells runs of one hour apart", () => {
  expect(shortId("01HZX3VJ9K2M4N6P8Q0R")).toBe("4N6P8Q0R");
});

test("says who made a run in few words", () => {
  expect(makerText({ origin: "", submitter: "ada" })).toBe("ada");
  expect(makerText({ origin: "schedule:nightly", submitter: "ada" })).toBe("schedule nightly");
  expect(makerText({ origin: "fork:01m8mm0z2bsygsm6dz50b2zdcg", submitter: "ada" })).toBe("fork of 50b2zdcg");
  expect(makerText({ origin: "run:01m8mm0z2bsygsm6dz50b2zdcg", submitter: "ada" })).toBe("run 50b2zdcg");
  expect(makerText({ origin: "rerun:01m8mm0z2bsygsm6dz50b2zdcg", submitter: "ada" })).toBe("rerun of 50b2zdcg");
  expect(makerText({ origin: "from: a newer server", submitter: "ada" })).toBe("from: a newer server");
});

test("begins a message as a sentence begins", () => {
  expect(sentence("there is no run 'x'")).toBe("There is no run 'x'");
  expect(sentence("")).toBe("");
});
