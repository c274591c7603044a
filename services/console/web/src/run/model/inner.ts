/** Sub-workflows that are open in the drawing: their runs, and how what is in them stands. */

import type { RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { nameWithin } from "./graph";
import { type NodeState, type Overlay, overlay } from "./overlay";
import { nodeName } from "./paths";

/** A sub-workflow in a cell of a foreach: of the many that there are, the one that is open. */
export interface ChosenCell {
  /** Of the node in the drawing. */
  readonly name: string;
  /** Its path in the run, such as "items[US]/train". */
  readonly path: string;
  /** The cell: "items[US]". */
  readonly scope: string;
  /** The cell's key. */
  readonly key: string;
  /** The foreach, and the path within a cell. */
  readonly block: string;
  readonly node: string;
}

/** Reads what is open: the name of a node, or the path of one in a cell. */
export function chosenCell(opened: string): ChosenCell | undefined {
  const begin = opened.indexOf("[");
  const end = opened.indexOf("]/", begin);
  if (begin <= 0 || end < 0) return undefined;
  const node = opened.slice(end + 2);
  return {
    name: nodeName(node),
    path: opened,
    scope: opened.slice(0, end + 1),
    key: opened.slice(begin + 1, end),
    block: opened.slice(0, begin),
    node,
  };
}

/** The name in the drawing of what is open. */
export function openedName(opened: string): string {
  return chosenCell(opened)?.name ?? opened;
}

/** Where the cells of a node are that stands in a foreach; undefined for one in no cell, or in cells of cells. */
export function cellsOf(state: NodeState | undefined): { block: string; node: string } | undefined {
  const [block, node, more] = state?.path.split("[]/") ?? [];
  return block && node && more === undefined && !node.includes("[]")
    ? { block, node: node.replaceAll("#", "") }
    : undefined;
}

/** The run by which each of these sub-workflows has begun, beside those of chosen cells; those within others are found when the views of these are known. */
export function childrenOf(
  names: readonly string[],
  outer: Overlay,
  known: ReadonlyMap<string, RunView>,
  chosen: ReadonlyMap<string, string> = new Map(),
): ReadonlyMap<string, string> {
  const found = new Map(chosen);
  // Outer ones first: their names begin those of what is in them.
  for (const name of [...names].sort((one, other) => one.length - other.length)) {
    const runId = joined(outer, found, known).get(name)?.block?.childRunId;
    if (runId) found.set(name, runId);
  }
  return found;
}

/** How all nodes stand, those within sub-workflows under their names in the drawing. */
export function joined(
  outer: Overlay,
  runs: ReadonlyMap<string, string>,
  views: ReadonlyMap<string, RunView>,
): Overlay {
  if (runs.size === 0) return outer;
  const states = new Map<string, NodeState>(outer);
  for (const [within, runId] of runs) {
    const view = views.get(runId);
    if (view === undefined) continue;
    for (const [name, state] of overlay(view, {})) states.set(nameWithin(within, name), state);
  }
  return states;
}
