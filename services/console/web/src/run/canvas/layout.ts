/** Where everything stands: dagre lays out one scope at a time, from the inside out, since no edge leaves its scope. */

import { layout as dagre, graphlib } from "@dagrejs/dagre";

/** What the layout needs to know of a node; plain data, so that it can be sent to a worker. */
export interface LayoutNode {
  readonly name: string;
  readonly phase: "body" | "onFailure" | "finally";
  /** Begins by a rule of its own: beside what runs, or also after a failure. */
  readonly conditional?: boolean;
  /** Height of what stands above the inner scopes, when there are any. */
  readonly header: number;
  /** Height of what stands below them. */
  readonly footer: number;
  readonly scopes: readonly LayoutScope[];
}

export interface LayoutScope {
  readonly id: string;
  readonly labelled: boolean;
  readonly nodes: readonly LayoutNode[];
  readonly edges: readonly { readonly source: string; readonly target: string }[];
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** A line from one node to the next, in the coordinates of the whole drawing. */
export interface Line {
  readonly source: string;
  readonly target: string;
  readonly look: LineLook;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** The usual order of the body; one that follows by a rule of its own; the order of hooks. */
export type LineLook = "order" | "conditional" | "hook";

/** The hooks of a scope stand below its body, under a title. */
export interface Band {
  readonly phase: "onFailure" | "finally";
  readonly x: number;
  readonly y: number;
}

export interface ScopeBox extends Box {
  readonly lines: readonly Line[];
  readonly bands: readonly Band[];
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  /** By name of the node. */
  readonly nodes: Readonly<Record<string, Box>>;
  /** By id of the scope; of the ways of a branch, too. */
  readonly scopes: Readonly<Record<string, ScopeBox>>;
  /** Lines that are not drawn: so many begin or end at one node that nobody could follow one. */
  readonly linesLeftOut: number;
}

export type Direction = "LR" | "TB";

export const STEP = { width: 188, height: 60 } as const;
const PAD = 18;
const LABEL = 24;
const BAND = 46;
const WAYS = 14;
// dagre's ranking takes seconds beyond this; a scope that is larger is laid out by rank alone.
const DAGRE_LIMIT = 600;

interface Placed {
  width: number;
  height: number;
  nodes: Map<string, Box>;
  scopes: Map<string, ScopeBox>;
  leftOut: number;
}

export function layoutGraph(root: LayoutScope, direction: Direction): Layout {
  const placed = placeScope(root, direction);
  return {
    width: placed.width,
    height: placed.height,
    nodes: Object.fromEntries(placed.nodes),
    scopes: Object.fromEntries(placed.scopes),
    linesLeftOut: placed.leftOut,
  };
}

function placeScope(scope: LayoutScope, direction: Direction): Placed {
  const whole: Placed = { width: 0, height: 0, nodes: new Map(), scopes: new Map(), leftOut: 0 };
  const lines: Line[] = [];
  const bands: Band[] = [];
  for (const phase of ["body", "onFailure", "finally"] as const) {
    const nodes = scope.nodes.filter((node) => node.phase === phase);
    if (nodes.length === 0) continue;
    const top = whole.height === 0 ? 0 : whole.height + BAND;
    if (phase !== "body") bands.push({ phase, x: 0, y: top - 12 });
    const band = placeBand(nodes, scope.edges, direction);
    lines.push(...band.lines.map((line) => moveLine(line, 0, top)));
    merge(whole, band, 0, top);
    whole.width = Math.max(whole.width, band.width);
    whole.height = top + band.height;
  }
  whole.scopes.set(scope.id, { x: 0, y: 0, width: whole.width, height: whole.height, lines, bands });
  return whole;
}

function placeNode(node: LayoutNode, direction: Direction): Placed {
  const whole: Placed = { width: STEP.width, height: STEP.height, nodes: new Map(), scopes: new Map(), leftOut: 0 };
  if (node.scopes.length > 0) {
    let y = node.header;
    for (const scope of node.scopes) {
      const inner = placeScope(scope, direction);
      const label = scope.labelled ? LABEL : 0;
      merge(whole, inner, PAD, y + label);
      whole.width = Math.max(whole.width, inner.width + 2 * PAD);
      y += label + inner.height + WAYS;
    }
    whole.height = y - WAYS + PAD + node.footer;
  }
  whole.nodes.set(node.name, { x: 0, y: 0, width: whole.width, height: whole.height });
  return whole;
}

function placeBand(
  nodes: readonly LayoutNode[],
  edges: LayoutScope["edges"],
  direction: Direction,
): Placed & { lines: Line[] } {
  const sizes = new Map(nodes.map((node) => [node.name, placeNode(node, direction)]));
  const here = edges.filter((edge) => sizes.has(edge.source) && sizes.has(edge.target));
  const at = nodes.length > DAGRE_LIMIT ? byRank(sizes, here, direction) : byDagre(sizes, here, direction);
  const looks = new Map(nodes.map((node) => [node.name, lookOf(node)]));
  const whole: Placed & { lines: Line[] } = {
    width: 0,
    height: 0,
    nodes: new Map(),
    scopes: new Map(),
    leftOut: here.length - at.lines.length,
    lines: at.lines.map((line) => ({ ...line, look: looks.get(line.target) as LineLook })),
  };
  for (const [name, inner] of sizes) {
    const place = at.places.get(name) as { x: number; y: number };
    merge(whole, inner, place.x, place.y);
    whole.width = Math.max(whole.width, place.x + inner.width);
    whole.height = Math.max(whole.height, place.y + inner.height);
  }
  return whole;
}

/** How the lines that lead to a node are drawn. */
function lookOf(node: LayoutNode): LineLook {
  if (node.phase !== "body") return "hook";
  return node.conditional ? "conditional" : "order";
}

interface Places {
  places: Map<string, { x: number; y: number }>;
  lines: Omit<Line, "look">[];
}

function byDagre(sizes: Map<string, Placed>, edges: LayoutScope["edges"], direction: Direction): Places {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: direction, nodesep: 22, ranksep: 40, marginx: 0, marginy: 0 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const [name, inner] of sizes) graph.setNode(name, { width: inner.width, height: inner.height });
  for (const edge of edges) graph.setEdge(edge.source, edge.target);
  dagre(graph);
  const places = new Map<string, { x: number; y: number }>();
  for (const [name, inner] of sizes) {
    const node = graph.node(name) as { x: number; y: number };
    places.set(name, { x: node.x - inner.width / 2, y: node.y - inner.height / 2 });
  }
  const ranks = rankExtents(places, sizes, direction);
  const lines = edges.map((edge) => {
    const { points } = graph.edge(edge.source, edge.target) as { points: Point[] };
    const between = points.slice(1, -1).flatMap((point) => across(point, ranks, direction));
    return { source: edge.source, target: edge.target, points: ends(edge, between, places, sizes, direction) };
  });
  return { places, lines };
}

type Point = Line["points"][number];

/** By the middle of each rank: half of what its widest node takes along the drawing. */
function rankExtents(
  places: Places["places"],
  sizes: Map<string, Placed>,
  direction: Direction,
): ReadonlyMap<number, number> {
  const extents = new Map<number, number>();
  for (const [name, { width, height }] of sizes) {
    const place = places.get(name) as Point;
    const half = (direction === "LR" ? width : height) / 2;
    const middle = Math.round((direction === "LR" ? place.x : place.y) + half);
    extents.set(middle, Math.max(extents.get(middle) ?? 0, half));
  }
  return extents;
}

/**
 * A line goes straight through the ranks that it passes, so that it touches no node there. Where dagre would bend it between
 * two ranks it has all the room, and bends as the ways on both sides want.
 */
function across(point: Point, ranks: ReadonlyMap<number, number>, direction: Direction): Point[] {
  const half = ranks.get(Math.round(direction === "LR" ? point.x : point.y));
  if (half === undefined) return [];
  return direction === "LR"
    ? [
        { x: point.x - half, y: point.y },
        { x: point.x + half, y: point.y },
      ]
    : [
        { x: point.x, y: point.y - half },
        { x: point.x, y: point.y + half },
      ];
}

/** Lines leave in the middle of a side and arrive in the middle of the other one, whatever angle dagre would clip them at. */
function ends(
  edge: { source: string; target: string },
  between: readonly Point[],
  places: Places["places"],
  sizes: Map<string, Placed>,
  direction: Direction,
): Line["points"] {
  const side = (name: string, out: boolean): Point => {
    const place = places.get(name) as { x: number; y: number };
    const size = sizes.get(name) as Placed;
    return direction === "LR"
      ? { x: place.x + (out ? size.width : 0), y: place.y + size.height / 2 }
      : { x: place.x + size.width / 2, y: place.y + (out ? size.height : 0) };
  };
  return [side(edge.source, true), ...between, side(edge.target, false)];
}

function byRank(sizes: Map<string, Placed>, edges: LayoutScope["edges"], direction: Direction): Places {
  const ranks = ranksOf([...sizes.keys()], edges);
  const rows = new Map<number, string[]>();
  for (const [name, rank] of ranks) rows.set(rank, [...(rows.get(rank) ?? []), name]);
  const places = new Map<string, { x: number; y: number }>();
  let along = 0;
  for (const [, names] of [...rows].sort(([one], [other]) => one - other)) {
    along = placeColumn(names, sizes, places, along, direction);
  }
  const lines = followable(edges).map((edge) => ({ ...edge, points: ends(edge, [], places, sizes, direction) }));
  return { places, lines };
}

/** The edges of which no node has more than a column. */
function followable(edges: LayoutScope["edges"]): LayoutScope["edges"] {
  const counts = new Map<string, number>();
  for (const { source, target } of edges)
    for (const name of [`${source} out`, `in ${target}`]) counts.set(name, (counts.get(name) ?? 0) + 1);
  const few = (name: string): boolean => (counts.get(name) ?? 0) <= COLUMN;
  return edges.filter(({ source, target }) => few(`${source} out`) && few(`in ${target}`));
}

// A rank of a thousand nodes is folded into columns, so that the drawing keeps a shape that fits a screen.
const COLUMN = 60;

function placeColumn(
  names: readonly string[],
  sizes: Map<string, Placed>,
  places: Places["places"],
  start: number,
  direction: Direction,
): number {
  let along = start;
  for (let from = 0; from < names.length; from += COLUMN) {
    let across = 0;
    let widest = 0;
    for (const name of names.slice(from, from + COLUMN)) {
      const size = sizes.get(name) as Placed;
      places.set(name, direction === "LR" ? { x: along, y: across } : { x: across, y: along });
      across += (direction === "LR" ? size.height : size.width) + 14;
      widest = Math.max(widest, direction === "LR" ? size.width : size.height);
    }
    along += widest + 40;
  }
  return along;
}

/** The longest way to each node, by Kahn's order; a definition has no cycles. */
export function ranksOf(names: readonly string[], edges: LayoutScope["edges"]): Map<string, number> {
  const ranks = new Map(names.map((name) => [name, 0]));
  const open = new Map(names.map((name) => [name, 0]));
  const after = new Map<string, string[]>();
  for (const edge of edges) {
    open.set(edge.target, (open.get(edge.target) ?? 0) + 1);
    after.set(edge.source, [...(after.get(edge.source) ?? []), edge.target]);
  }
  const next = names.filter((name) => open.get(name) === 0);
  for (let name = next.pop(); name !== undefined; name = next.pop()) {
    for (const target of after.get(name) ?? []) {
      ranks.set(target, Math.max(ranks.get(target) as number, (ranks.get(name) as number) + 1));
      const left = (open.get(target) as number) - 1;
      open.set(target, left);
      if (left === 0) next.push(target);
    }
  }
  return ranks;
}

function merge(whole: Placed, inner: Placed, x: number, y: number): void {
  whole.leftOut += inner.leftOut;
  for (const [name, box] of inner.nodes) whole.nodes.set(name, { ...box, x: box.x + x, y: box.y + y });
  for (const [id, box] of inner.scopes) {
    const lines = box.lines.map((line) => moveLine(line, x, y));
    const bands = box.bands.map((band) => ({ ...band, x: band.x + x, y: band.y + y }));
    whole.scopes.set(id, { ...box, x: box.x + x, y: box.y + y, lines, bands });
  }
}

function moveLine(line: Line, x: number, y: number): Line {
  return { ...line, points: line.points.map((point) => ({ x: point.x + x, y: point.y + y })) };
}

/** A line through its points with rounded corners, as the data of an SVG path. */
export function pathData(points: Line["points"], direction: Direction): string {
  const first = points[0];
  if (first === undefined) return "";
  let data = `M${first.x},${first.y}`;
  for (let at = 1; at < points.length; at++) {
    const from = points[at - 1] as { x: number; y: number };
    const to = points[at] as { x: number; y: number };
    if (direction === "LR") {
      const middle = (from.x + to.x) / 2;
      data += `C${middle},${from.y} ${middle},${to.y} ${to.x},${to.y}`;
    } else {
      const middle = (from.y + to.y) / 2;
      data += `C${from.x},${middle} ${to.x},${middle} ${to.x},${to.y}`;
    }
  }
  return data;
}
