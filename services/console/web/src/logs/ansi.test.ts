import { describe, expect, it } from "vitest";
import { parseAnsi, plainText } from "./ansi";

const ESC = "\u001b";

describe("parseAnsi", () => {
  it("keeps a line without escapes as one segment", () => {
    expect(parseAnsi("plain").segments).toEqual([{ text: "plain", style: {} }]);
    expect(parseAnsi("").segments).toEqual([]);
  });

  it("splits a line where its style changes, and carries the style to the next line", () => {
    const first = parseAnsi(`a${ESC}[1;31mb`);
    expect(first.segments).toEqual([
      { text: "a", style: {} },
      { text: "b", style: { bold: true, color: 1 } },
    ]);
    expect(parseAnsi("c", first.after).segments).toEqual([{ text: "c", style: { bold: true, color: 1 } }]);
    expect(parseAnsi(`${ESC}[0md`, first.after).segments).toEqual([{ text: "d", style: {} }]);
  });

  it("knows bright, indexed and true colours in both separators", () => {
    expect(parseAnsi(`${ESC}[92mx`).after).toEqual({ color: 10 });
    expect(parseAnsi(`${ESC}[38;5;196mx`).after).toEqual({ color: "#ff0000" });
    expect(parseAnsi(`${ESC}[48;5;244mx`).after).toEqual({ background: "#808080" });
    expect(parseAnsi(`${ESC}[38:2:1:2:255mx`).after).toEqual({ color: "#0102ff" });
    expect(parseAnsi(`${ESC}[38;2;1;2;999mx`).after).toEqual({});
  });

  it("leaves out whatever else a terminal would obey: moves, titles, links", () => {
    const line = `a${ESC}[2J${ESC}[10;10Hb${ESC}]0;title\u0007c${ESC}]8;;https://evil.example${ESC}\\d${ESC}]8;;${ESC}\\e`;
    expect(
      parseAnsi(line)
        .segments.map((segment) => segment.text)
        .join(""),
    ).toBe("abcde");
    expect(plainText(line)).toBe("abcde");
  });

  it("ends, whatever comes: a sequence that is cut off is shown, not obeyed", () => {
    expect(plainText(`a${ESC}[12`)).toContain("a");
    expect(plainText(`${ESC}]0;never ended`)).toBe("");
    expect(parseAnsi(`${ESC}[38;5m.`).segments).toEqual([{ text: ".", style: {} }]);
  });

  it("shows marks that would turn the text around", () => {
    expect(parseAnsi("user\u202egnp.exe").segments).toEqual([{ text: "user⟨U+202E⟩gnp.exe", style: {} }]);
  });
});
