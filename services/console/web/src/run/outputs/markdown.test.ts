import { expect, it } from "vitest";
import { inlines, parseMarkdown } from "./markdown";

it("reads what reports are made of", () => {
  const blocks = parseMarkdown(
    [
      "# Model card",
      "",
      "Trained on **100** ratings,",
      "see [the data](http://example.org).",
      "",
      "- one",
      "  - *two*",
      "1. three",
      "",
      "| market | rmse |",
      "|:--|--:|",
      "| EU | `0.91` |",
      "",
      "```python",
      "# no heading",
      "```",
      "---",
      "> said",
    ].join("\n"),
  );
  expect(blocks.map(({ kind }) => kind)).toEqual(["heading", "paragraph", "list", "table", "code", "rule", "quote"]);
  expect(blocks[1]).toMatchObject({
    text: [
      { kind: "text", text: "Trained on " },
      { kind: "strong", text: "100" },
      { kind: "text", text: " ratings, see " },
      { kind: "link", text: "the data", to: "http://example.org" },
      { kind: "text", text: "." },
    ],
  });
  expect(blocks[2]).toMatchObject({ items: [{ depth: 0 }, { depth: 1 }, { depth: 0 }] });
  expect(blocks[3]).toEqual({ kind: "table", columns: ["market", "rmse"], rows: [["EU", "0.91"]] });
  expect(blocks[4]).toEqual({ kind: "code", text: "# no heading" });
});

it("leaves HTML and what is not closed as text", () => {
  const hostile = "<script>alert(1)</script> **open [a](";
  expect(parseMarkdown(hostile)).toEqual([{ kind: "paragraph", text: [{ kind: "text", text: hostile }] }]);
  expect(parseMarkdown("```\nnever closed")).toEqual([{ kind: "code", text: "never closed" }]);
});

it("reads any text to its end, and never more blocks than are shown", () => {
  for (const piece of ["[", "*", "`", "**", "|", "#", "> ", "- ", "![](", "1. ", "|-", "~~~"]) {
    const text = piece.repeat(20_000);
    expect(inlines(text).reduce((length, { text: part }) => length + part.length, 0)).toBeGreaterThan(0);
    expect(parseMarkdown(text).length).toBeGreaterThan(0);
    expect(parseMarkdown(`${piece}\n`.repeat(5_000)).length).toBeLessThanOrEqual(1_500);
  }
});
