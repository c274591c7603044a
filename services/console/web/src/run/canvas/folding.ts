/** Which scopes are open: what would be too small to read, or too much to draw, is folded into its node. The layout stays as it is. */

import type { GraphModel, GraphNode } from "../model/graph";

/** Nodes of the page that xyflow carries without losing frames. */
export const DRAWN_LIMIT = 300;
// A step of this many pixels of height can still be read.
const READABLE = 26;
const STEP_HEIGHT = 60;

/** How deep scopes are open at a zoom: steps right in the run stay, what is inside of blocks goes first. */
export function openDepth(zoom: number): number {
  const height = zoom * STEP_HEIGHT;
  if (height >= READABLE) return Number.POSITIVE_INFINITY;
  if (height >= READABLE * 0.6) return 1;
  return 0;
}

/**
 * The nodes that are drawn, outer ones first, and those whose inside is folded. `closed` are folded by hand; what `wanted` stands in
 * is open, so that it is seen.
 */
export function drawn(
  model: GraphModel,
  zoom: number,
  closed: ReadonlySet<string>,
  limit = DRAWN_LIMIT,
  wanted?: GraphNode,
): { nodes: GraphNode[]; folded: Set<string> } {
  const deepest = openDepth(zoom);
  const nodes: GraphNode[] = [...model.root.nodes];
  const folded = new Set<string>();
  const around = new Set<GraphNode>();
  for (let each = wanted?.parent; each !== undefined; each = each.parent) around.add(each);
  for (let at = 0; at < nodes.length; at++) {
    const node = nodes[at] as GraphNode;
    if (node.scopes.length === 0) continue;
    const inside = node.scopes.flatMap((scope) => scope.nodes);
    const fits = node.depth < deepest && nodes.length + inside.length <= limit;
    if (closed.has(node.name) || !(fits || around.has(node))) {
      folded.add(node.name);
    } else {
      nodes.push(...inside);
    }
  }
  return { nodes, folded };
}
