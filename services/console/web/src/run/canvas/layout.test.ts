import { describe, expect, it } from "vitest";
import {
  type Box,
  type LayoutNode,
  type LayoutScope,
  type Line,
  layoutGraph,
  pathData,
  ranksOf,
  type ScopeBox,
} from "./layout";

function step(name: string, over: Partial<LayoutNode> = {}): LayoutNode {
  return { name, phase: "body", header: 0, footer: 0, scopes: [], ...over };
}

function scope(id: string, nodes: LayoutNode[], edges: [string, string][] = []): LayoutScope {
  return { id, labelled: false, nodes, edges: edges.map(([source, target]) => ({ source, target })) };
}

function within(inner: Box, outer: Box): boolean {
  return (
    inner.x >= outer.x &&
    inner.y >= outer.y &&
    inner.x + inner.width <= outer.x + outer.width &&
    inner.y + inner.height <= outer.y + outer.height
  );
}

function overlap(one: Box, other: Box): boolean {
  return (
    one.x < other.x + other.width &&
    other.x < one.x + one.width &&
    one.y < other.y + other.height &&
    other.y < one.y + one.height
  );
}

describe("layoutGraph", () => {
  const inner = scope(
    "loop",
    [step("split"), step("train"), step("check")],
    [
      ["split", "train"],
      ["train", "check"],
    ],
  );
  const root = scope(
    "",
    [
      step("load"),
      step("loop", { header: 50, footer: 20, scopes: [inner] }),
      step("publish"),
      step("alert", { phase: "onFailure" }),
    ],
    [
      ["load", "loop"],
      ["loop", "publish"],
    ],
  );

  it.each(["LR", "TB"] as const)("puts what is inside of a block within it, under its header (%s)", (direction) => {
    const layout = layoutGraph(root, direction);
    const loop = layout.nodes.loop as Box;
    for (const name of ["split", "train", "check"]) {
      expect(within(layout.nodes[name] as Box, loop)).toBe(true);
      expect((layout.nodes[name] as Box).y).toBeGreaterThanOrEqual(loop.y + 50);
    }
  });

  it("follows the edges in one direction, and puts hooks under the body", () => {
    const layout = layoutGraph(root, "LR");
    const order = ["load", "loop", "publish"].map((name) => (layout.nodes[name] as Box).x);
    expect(order).toEqual([...order].sort((one, other) => one - other));
    expect((layout.nodes.alert as Box).y).toBeGreaterThan((layout.nodes.loop as Box).height);
  });

  it("keeps all lines in their scope, from side to side", () => {
    const layout = layoutGraph(root, "LR");
    expect(layout.scopes[""]?.lines.map((line) => [line.source, line.target])).toEqual([
      ["load", "loop"],
      ["loop", "publish"],
    ]);
    const line = layout.scopes.loop?.lines[0];
    const split = layout.nodes.split as Box;
    expect(line?.points[0]).toEqual({ x: split.x + split.width, y: split.y + split.height / 2 });
  });

  it("tells apart the order of the body, what follows by a rule of its own, and hooks", () => {
    const hooked = scope(
      "",
      [
        step("load"),
        step("fit"),
        step("apologize", { conditional: true }),
        step("alert", { phase: "onFailure" }),
        step("ticket", { phase: "onFailure", conditional: true }),
      ],
      [
        ["load", "fit"],
        ["fit", "apologize"],
        ["alert", "ticket"],
      ],
    );
    const { lines, bands } = layoutGraph(hooked, "LR").scopes[""] as ScopeBox;
    expect(lines.map(({ target, look }) => [target, look])).toEqual([
      ["fit", "order"],
      ["apologize", "conditional"],
      ["ticket", "hook"],
    ]);
    expect(bands.map(({ phase }) => phase)).toEqual(["onFailure"]);
  });

  it("lays out a scope of thousands of nodes without overlaps", () => {
    const names = Array.from({ length: 1_500 }, (_, at) => `step-${at}`);
    const layout = layoutGraph(
      scope(
        "",
        names.map((name) => step(name)),
        names.slice(1).map((name) => ["step-0", name]),
      ),
      "LR",
    );
    const boxes = names.slice(0, 200).map((name) => layout.nodes[name] as Box);
    expect(boxes.some((one, at) => boxes.slice(at + 1).some((other) => overlap(one, other)))).toBe(false);
    expect(layout.height).toBeLessThan(60 * 80);
  });
});

it("ranks nodes by their longest way", () => {
  const edges = [
    ["a", "b"],
    ["b", "c"],
    ["a", "c"],
  ].map(([source, target]) => ({ source: source as string, target: target as string }));
  expect(Object.fromEntries(ranksOf(["a", "b", "c"], edges))).toEqual({ a: 0, b: 1, c: 2 });
});

it("draws a line as one SVG path", () => {
  expect(
    pathData(
      [
        { x: 0, y: 0 },
        { x: 10, y: 4 },
      ],
      "LR",
    ),
  ).toBe("M0,0C5,0 5,4 10,4");
  expect(pathData([], "LR")).toBe("");
});

describe("lines among many nodes", () => {
  const ranks = [0, 1, 2, 3].map((rank) => Array.from({ length: 5 }, (_, at) => `n${rank}-${at}`));
  const edges = ranks.slice(1).flatMap((names, rank) =>
    names.flatMap((target, at): [string, string][] => [
      [ranks[rank]?.[at] as string, target],
      [ranks[rank]?.[(at * 2 + rank + 1) % 5] as string, target],
    ]),
  );
  const far: [string, string] = ["n0-2", "n3-4"];
  const graph = scope(
    "",
    ranks.flat().map((name) => step(name)),
    [...edges, far],
  );

  it.each(["LR", "TB"] as const)("go straight from one rank to the next (%s)", (direction) => {
    const { lines } = layoutGraph(graph, direction).scopes[""] as { lines: readonly Line[] };
    for (const line of lines.filter(({ source }) => source !== far[0])) expect(line.points).toHaveLength(2);
  });

  it.each(["LR", "TB"] as const)("pass the nodes of the ranks between (%s)", (direction) => {
    const layout = layoutGraph(graph, direction);
    const lines = (layout.scopes[""] as { lines: readonly Line[] }).lines;
    const points = lines.find(({ source, target }) => source === far[0] && target === far[1])?.points ?? [];
    expect(points.length).toBeGreaterThan(2);
    for (const box of Object.values(layout.nodes)) {
      for (const point of points.slice(1, -1)) expect(overlap(box, { ...point, width: 0, height: 0 })).toBe(false);
    }
  });
});

describe("a scope of thousands", () => {
  const names = Array.from({ length: 2_000 }, (_, at) => `s${at}`);

  it("draws no lines that nobody could follow, and says how many", () => {
    const fan = layoutGraph(
      scope(
        "",
        ["hub", ...names].map((name) => step(name)),
        names.map((name) => ["hub", name]),
      ),
      "LR",
    );
    expect([fan.scopes[""]?.lines.length, fan.linesLeftOut]).toEqual([0, 2_000]);
    // They stand after it all the same.
    expect(fan.nodes.s0!.x).toBeGreaterThan(fan.nodes.hub!.x);
  });

  it("draws the lines of a chain", () => {
    const edges = names.slice(1).map((name, at): [string, string] => [`s${at}`, name]);
    const chain = layoutGraph(
      scope(
        "",
        names.map((name) => step(name)),
        edges,
      ),
      "LR",
    );
    expect([chain.scopes[""]?.lines.length, chain.linesLeftOut]).toEqual([1_999, 0]);
  });
});
