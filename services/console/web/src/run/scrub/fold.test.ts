import { readFileSync } from "node:fs";
import { fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetSpansResponseSchema } from "../../gen/kaonapi/view/v1/run_view_pb";
import { spansOf } from "../timeline/spans";
import { foldAt, folder } from "./fold";

interface Vector {
  /** An answer of GetSpans, as base64. */
  readonly spans: string;
  /** By event: "node status count" of the steps that had begun. */
  readonly moments: Readonly<Record<string, readonly string[]>>;
}

// The view service's own test holds the same file to the states that the engine folds from the golden histories.
const FILE = "../../coordinator/tests/coordinator_tests/view/fold_vectors.json";
const VECTORS: Record<string, Vector> = JSON.parse(readFileSync(FILE, "utf8"));

test.each(Object.entries(VECTORS))("scrubbing over %s shows what the service would tell", (_, { spans, moments }) => {
  const fold = folder(spansOf(fromBinary(GetSpansResponseSchema, new Uint8Array(Buffer.from(spans, "base64")))));
  for (const [seq, wanted] of Object.entries(moments)) {
    const counts = foldAt(fold, Number(seq));
    const shown = counts.flatMap((byStatus, node) =>
      byStatus.flatMap((count, status) => (count > 0 ? [`${fold.spans.nodes[node]} ${status} ${count}`] : [])),
    );
    expect(shown.sort(), `after event ${seq}`).toEqual([...wanted].sort());
  }
});

test("there is something to fold", () => {
  expect(Object.keys(VECTORS).length).toBeGreaterThan(20);
});
