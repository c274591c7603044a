/** What of a graph goes to the worker that lays it out, and under which key its answer is kept. */

import type { GraphModel, GraphNode, GraphScope } from "../model/graph";
import type { Direction, LayoutNode, LayoutScope } from "./layout";

export const HEADER = 58;
export const CELLS_BAND = 74;
export const PASSES_BAND = 34;

/** The inside of a folded node is left out, so that it takes no room. */
export function layoutRequest(model: GraphModel, closed: ReadonlySet<string>): LayoutScope {
  const scope = (graph: GraphScope, labelled: boolean): LayoutScope => ({
    id: graph.id,
    labelled,
    nodes: graph.nodes.map(node),
    edges: graph.edges,
  });
  const node = (of: GraphNode): LayoutNode => ({
    name: of.name,
    phase: of.phase,
    conditional: of.trigger !== "",
    header: HEADER + (of.kind === "repeat" ? PASSES_BAND : 0),
    footer: of.kind === "forEach" ? CELLS_BAND : 0,
    scopes: closed.has(of.name) ? [] : of.scopes.map((inner) => scope(inner, of.kind === "branch")),
  });
  return scope(model.root, false);
}

/**
 * A version's digest names its definition, so the layout follows from these five: `inner` are versions of open sub-workflows,
 * `around` is the node around which a part is drawn.
 */
export function layoutKey(
  version: string,
  closed: ReadonlySet<string>,
  direction: Direction,
  inner: readonly string[] = [],
  around = "",
): string {
  return [version, direction, [...closed].sort().join(","), ...(around ? [`around ${around}`] : []), ...inner].join(
    "|",
  );
}
