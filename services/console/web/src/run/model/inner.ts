/** Sub-workflows that are open in the drawing: their runs, and how what is in them stands. */

import type { RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { nameWithin } from "./graph";
import { type NodeState, type Overlay, overlay } from "./overlay";
import { nodeName } from "./paths";

/** A cell of a foreach on the way to a sub-workflow. */
export interface CellLevel {
  /** The cell: "items[US]". */
  readonly scope: string;
  /** The cell's key. */
  readonly key: string;
  /** The foreach. */
  readonly block: string;
  /** The way on from the cell to the sub-workflow: each node's path within the cell around it. */
  readonly nodes: readonly string[];
}

/** A sub-workflow in a cell of a foreach, or of a foreach within others: of the many that there are, the one that is open. */
export interface ChosenCell {
  /** Of the node in the drawing. */
  readonly name: string;
  /** Its path in the run, such as "items[US]/train". */
  readonly path: string;
  /** The innermost cell: "items[US]". */
  readonly scope: string;
  /** The cells that it is in, the outermost first. */
  readonly levels: readonly CellLevel[];
}

// Keys hold no brackets.
const CELL = /\[([^[\]]*)\]\//g;
const ITERATION = /#\d*/g;

/** Reads what is open: the name of a node, or the path of one in a cell. */
export function chosenCell(opened: string): ChosenCell | undefined {
  const cells = [...opened.matchAll(CELL)];
  const last = cells.at(-1);
  if (last === undefined || cells[0]?.index === 0) return undefined;
  const ends = cells.map((cell) => cell.index + cell[0].length);
  // From the end of each cell to the next foreach, and at last to the sub-workflow.
  const nodes = ends.map((end, at) => opened.slice(end, cells[at + 1]?.index).replaceAll(ITERATION, ""));
  const levels = cells.map((cell, at) => ({
    scope: opened.slice(0, (ends[at] as number) - 1),
    key: cell[1] as string,
    block: opened.slice(0, cell.index),
    nodes: nodes.slice(at),
  }));
  return { name: nodeName(nodes.at(-1) as string), path: opened, scope: (levels.at(-1) as CellLevel).scope, levels };
}

/** The name in the drawing of what is open. */
export function openedName(opened: string): string {
  return chosenCell(opened)?.name ?? opened;
}

/** Where the cells of a node are that stands in a foreach: the outermost foreach, and the way on. Undefined for one in no cell. */
export function cellsOf(state: NodeState | undefined): Pick<CellLevel, "block" | "nodes"> | undefined {
  const [block, ...nodes] = state?.path.split("[]/") ?? [];
  return block && nodes.length > 0 ? { block, nodes: nodes.map((node) => node.replaceAll(ITERATION, "")) } : undefined;
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
