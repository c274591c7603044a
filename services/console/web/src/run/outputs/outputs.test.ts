import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { RunViewSchema } from "../../gen/kaonapi/view/v1/run_view_pb";
import { artifactOf, linesTable, originOf, pretty, previewOf, tableOf } from "./artifacts";
import { parseCsv } from "./csv";
import { fileName } from "./save";

const DIGEST = `sha256:${"a".repeat(64)}`;

function reference(over: Record<string, unknown> = {}): string {
  return JSON.stringify({
    artifact: { uri: "file:///x", digest: DIGEST, type: "plot", size: 3, media_type: "", ...over },
  });
}

describe("artifactOf", () => {
  it("knows a reference from a value that looks like one", () => {
    expect(artifactOf(reference())).toMatchObject({ digest: DIGEST, type: "plot", size: 3 });
    expect(artifactOf('{"artifact":"x"}')).toBeUndefined();
    expect(artifactOf('{"artifact":{"digest":"../../etc/passwd"}}')).toBeUndefined();
    expect(artifactOf(`{"artifact":{"digest":"${DIGEST}"},"other":1}`)).toBeUndefined();
    expect(artifactOf("not json")).toBeUndefined();
  });

  it("says how an artifact is shown: by its name first, then by its type", () => {
    const of = (over: Record<string, unknown>) => previewOf(artifactOf(reference(over))!);
    expect(of({})).toEqual({ kind: "image", mediaType: "image/png" });
    expect(of({ name: "loss.SVG" })).toEqual({ kind: "image", mediaType: "image/svg+xml" });
    expect(of({ type: "file", name: "rows.csv" }).kind).toBe("table");
    expect(of({ type: "text", name: "card.md" })).toEqual({ kind: "markdown", mediaType: "text/markdown" });
    expect(of({ type: "list" }).kind).toBe("lines");
    expect(of({ type: "model", name: "weights" }).kind).toBe("none");
    expect(of({ name: "all.csv", media_type: "application/x-tar" }).kind).toBe("none");
  });
});

it("shows JSON so that people can read it, and text as it is", () => {
  expect(pretty('{"a":[1]}')).toBe('{\n  "a": [\n    1\n  ]\n}');
  expect(pretty("plain")).toBe("plain");
});

it("reads tables with quotes, line ends of both kinds, and a cut end", () => {
  expect(parseCsv('a,b\r\n"1,""x""",2\r\n', ",", 10)).toEqual([
    ["a", "b"],
    ['1,"x"', "2"],
  ]);
  expect(parseCsv('a\n"cut', ",", 10)).toEqual([["a"]]);
  expect(parseCsv("a\n1\n2\n3", ",", 2)).toEqual([["a"], ["1"]]);
  expect(tableOf("n\tm\n1\t2", "text/tab-separated-values")).toEqual({ columns: ["n", "m"], rows: [["1", "2"]] });
});

it("reads lines of JSON as rows, and leaves those that are no objects", () => {
  expect(linesTable('{"a":1,"b":"x"}\n{"a":[2],"c":null}\n{"a":')).toEqual({
    columns: ["a", "b", "c"],
    rows: [
      ["1", "x", ""],
      ["[2]", "", "null"],
    ],
  });
  expect(linesTable("[1]\n[2]")).toBeUndefined();
  expect(linesTable("")).toBeUndefined();
  expect(linesTable('{"a":1}\n'.repeat(9), 3)?.rows).toHaveLength(3);
});

it("saves a directory as the tar file that it is kept in", () => {
  const of = (over: Record<string, unknown>) => fileName(artifactOf(reference(over))!, "model");
  expect(of({ name: "weights.bin" })).toBe("weights.bin");
  expect(of({ name: "", media_type: "application/x-tar" })).toBe("model.tar");
});

it("shows an artifact among the inputs where it comes from", () => {
  const view = create(RunViewSchema, {
    run: { runId: "r" },
    steps: [
      { path: "other", outputsJson: { rows: reference({ digest: `sha256:${"b".repeat(64)}` }) } },
      { path: "load", outputsJson: { count: "3", rows: reference() } },
    ],
  });
  expect(originOf(reference({ name: "rows.csv" }), view)).toEqual({ runId: "r", path: "load", output: "rows" });
  expect(originOf(reference({ digest: `sha256:${"c".repeat(64)}` }), view)).toBeUndefined();
  expect(originOf("3", view)).toBeUndefined();
});
