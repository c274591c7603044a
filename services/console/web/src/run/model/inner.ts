/** Sub-workflows that are open in the drawing: their runs, and how what is in them stands. */

import type { RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { nameWithin } from "./graph";
import { type NodeState, type Overlay, overlay } from "./overlay";

/** The run by which each of these sub-workflows has begun; those within others are found when the views of these are known. */
export function childrenOf(
  names: readonly string[],
  outer: Overlay,
  known: ReadonlyMap<string, RunView>,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
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
