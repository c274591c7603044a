import { describe, expect, it } from "vitest";
import { Status } from "../model/counts";
import { countsByName, foldAt, foldCells, folder, timeOf } from "../scrub/fold";
import { criticalPath, shares } from "./critical";
import { extent, firstSeen, rowsOf, type Spans } from "./spans";
import { Strips, stripsOf } from "./strips";

interface Made {
  node: string;
  cell?: number;
  attempt?: number;
  /** Sequence numbers; times are ten times as large. */
  ready: number;
  leased?: number;
  end?: number;
  outcome?: number;
  /** Another attempt follows. */
  retried?: boolean;
}

function made(list: Made[]): Spans {
  const nodes = [...new Set(list.map((span) => span.node))];
  const stepOf = (span: Made): string => `${span.node} ${span.cell ?? 0}`;
  const steps = [...new Set(list.map(stepOf))];
  const retried = list.filter((span) => span.retried);
  const column = (of: (span: Made) => number): Float64Array => Float64Array.from(list.map(of));
  return {
    count: list.length,
    seq: 100,
    nodes,
    blocks: nodes.map((node) => (node.includes("[]") ? (node.split("[]")[0] as string) : "")),
    node: Uint16Array.from(list.map((span) => nodes.indexOf(span.node))),
    cell: Uint32Array.from(list.map((span) => span.cell ?? 0)),
    ready: column((span) => span.ready * 10),
    leased: column((span) => (span.leased ?? 0) * 10),
    end: column((span) => (span.end ?? 0) * 10),
    outcome: Uint8Array.from(list.map((span) => span.outcome ?? (span.end ? Status.SUCCEEDED : Status.RUNNING))),
    attempt: Uint8Array.from(list.map((span) => span.attempt ?? 1)),
    runner: new Uint16Array(list.length),
    runners: ["r"],
    merged: new Uint32Array(),
    readySeq: column((span) => span.ready),
    leasedSeq: column((span) => span.leased ?? 0),
    endSeq: column((span) => span.end ?? 0),
    step: Uint32Array.from(list.map((span) => steps.indexOf(stepOf(span)))),
    changes: {
      seq: Uint32Array.from(retried.map((span) => span.end ?? 0)),
      step: Uint32Array.from(retried.map((span) => steps.indexOf(stepOf(span)))),
      status: new Uint8Array(retried.length).fill(Status.PENDING),
    },
  };
}

const RETRIED = made([
  { node: "load", ready: 1, leased: 2, end: 3 },
  { node: "train", ready: 4, leased: 5, end: 6, outcome: Status.FAILED, retried: true },
  { node: "train", attempt: 2, ready: 8, leased: 9, end: 10 },
]);

describe("rowsOf", () => {
  it("puts attempts that overlap into lanes of their own", () => {
    const spans = made([
      { node: "r[]/train", cell: 0, ready: 1, leased: 2, end: 6 },
      { node: "r[]/train", cell: 1, ready: 1, leased: 3, end: 5 },
      { node: "r[]/train", cell: 2, ready: 1, leased: 5, end: 8 },
    ]);
    const rows = rowsOf(spans);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.spans.map((lane) => [...lane])).toEqual([[0], [1, 2]]);
  });

  it("puts the iterations of a repeat into one row", () => {
    const spans = made([
      { node: "c#1/t", ready: 1, leased: 2, end: 3 },
      { node: "c#2/t", ready: 4, leased: 5, end: 6 },
    ]);
    expect(rowsOf(spans)).toMatchObject([{ label: "c#/t", lanes: 1 }]);
  });

  it("finds the first span that can be seen without looking at all", () => {
    const spans = made(
      Array.from({ length: 50 }, (_, at) => ({ node: "s", ready: at * 2 + 1, leased: at * 2 + 1, end: at * 2 + 2 })),
    );
    const lane = rowsOf(spans)[0]?.spans[0] as Uint32Array;
    expect(firstSeen(spans, lane, 0)).toBe(0);
    expect(firstSeen(spans, lane, 205)).toBe(10);
    expect(extent(spans, 0)).toEqual({ from: 10, until: 1000 });
  });
});

describe("stripsOf", () => {
  const many = made(
    Array.from({ length: 1000 }, (_, at) => ({
      node: "s",
      ready: at * 2 + 1,
      leased: at * 2 + 1,
      end: at * 2 + 2,
      outcome: at % 100 === 50 ? Status.FAILED : Status.SUCCEEDED,
    })),
  );
  const lane = rowsOf(many)[0]?.spans[0] as Uint32Array;

  it("joins what one pixel has, and shows the worst of it", () => {
    const strips = stripsOf(many, lane, 1_000, undefined);
    expect(strips.left.length).toBeLessThanOrEqual(21);
    expect([...strips.outcome]).toContain(Status.FAILED);
    expect(strips.left[0]).toBe(10);
    expect(strips.right.at(-1)).toBe(20_000);
    expect([...strips.right]).toEqual([...strips.right].sort((one, other) => one - other));
  });

  it("draws each attempt by itself where there is room, and what waited behind it", () => {
    const spans = made([
      { node: "s", ready: 1, leased: 100, end: 200 },
      { node: "s", ready: 201, leased: 300 },
    ]);
    const strips = stripsOf(spans, Uint32Array.of(0, 1), 1, undefined);
    expect([...strips.alone]).toEqual([1, 1]);
    expect([...strips.left]).toEqual([1000, 3000]);
    expect([...strips.right]).toEqual([2000, Number.POSITIVE_INFINITY]);
    expect([...strips.waitLeft]).toEqual([10, 2010]);
    expect([...strips.waitRight]).toEqual([1000, 3000]);
  });

  it("joins many anew for another zoom only, and of few those that are seen", () => {
    const whole = new Strips(many, rowsOf(many), undefined, 100);
    expect(whole.at(0, 20_000, 1_100)).toBe(whole.at(0, 20_000, 1_900));
    expect(whole.at(0, 20_000, 1_100)).not.toBe(whole.at(0, 20_000, 2_100));
    const seen = whole.at(1_000, 1_100, 0.1)[0]?.[0];
    expect(seen?.left[0]).toBe(990);
    expect(seen?.left.at(-1)).toBe(1_090);
  });
});

describe("criticalPath", () => {
  it("goes from cause to cause, retries included, and leaves out what nobody waited for", () => {
    const spans = made([
      { node: "load", ready: 1, leased: 2, end: 3 },
      { node: "fast", ready: 4, leased: 5, end: 6 },
      { node: "slow", ready: 4, leased: 7, end: 20 },
      { node: "join", ready: 21, leased: 22, end: 23 },
    ]);
    const path = criticalPath(spans);
    expect(path.map((at) => spans.nodes[spans.node[at] as number])).toEqual(["load", "slow", "join"]);
    expect(shares(spans, path)).toEqual({ waitUs: 50, workUs: 150 });
    expect(criticalPath(RETRIED)).toEqual([0, 1, 2]);
    expect(criticalPath(made([]))).toEqual([]);
  });
});

describe("foldAt", () => {
  const name = (seq: number): string => {
    const counts = countsByName(RETRIED, foldAt(folder(RETRIED), seq)).get("train");
    const status = counts?.findIndex((count) => count > 0) ?? -1;
    return status < 0 ? "none" : (Status[status] as string);
  };

  it("tells how a step stood after each event, between attempts too", () => {
    expect([3, 4, 5, 6, 7, 8, 9, 10, 99].map(name)).toEqual([
      "none",
      "READY",
      "RUNNING",
      "PENDING",
      "PENDING",
      "READY",
      "RUNNING",
      "SUCCEEDED",
      "SUCCEEDED",
    ]);
  });

  it("folds cells to the worst of their nodes", () => {
    const spans = made([
      { node: "r[]/a", cell: 0, ready: 1, leased: 2, end: 5 },
      { node: "r[]/a", cell: 2, ready: 1, leased: 3, end: 6, outcome: Status.FAILED },
      { node: "r[]/b", cell: 0, ready: 7, leased: 8 },
    ]);
    const cells = new Uint8Array(3);
    foldCells(folder(spans), "r", 5, cells);
    expect([...cells]).toEqual([Status.SUCCEEDED, 0, Status.RUNNING]);
    foldCells(folder(spans), "r", 8, cells);
    expect([...cells]).toEqual([Status.RUNNING, 0, Status.FAILED]);
  });

  it("takes the newest pass of a repeat that had begun", () => {
    const spans = made([
      { node: "c#1/t", ready: 1, leased: 2, end: 3 },
      { node: "c#2/t", ready: 4, leased: 5 },
    ]);
    const at = (seq: number) => countsByName(spans, foldAt(folder(spans), seq)).get("t");
    expect(at(3)?.[Status.SUCCEEDED]).toBe(1);
    expect(at(6)?.[Status.RUNNING]).toBe(1);
  });

  it("knows the time of a moment", () => {
    expect(timeOf(RETRIED, 6)).toBe(60);
    expect(timeOf(RETRIED, 7)).toBe(60);
  });
});
