/** How each node of the definition stands: the instances of a run, seen through the passes that are chosen. */

import type { BlockView, StepView } from "../../gen/kaonapi/run/v1/run_pb";
import type { FoldedNode, Iteration, RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { type Counts, countsOf, Status, sum, worstOf } from "./counts";
import { parsePath, passOf } from "./paths";

/** One node of the definition in the run. */
export interface NodeState {
  /** Path of the one instance that is shown, or the folded path of all in foreach cells. */
  readonly path: string;
  readonly status: number;
  readonly step?: StepView;
  readonly block?: BlockView;
  /** In foreach cells: how many instances have each status. */
  readonly counts?: Counts;
  readonly folded?: FoldedNode;
  /** Foreach outside of cells: its cells. */
  readonly cells?: Counts;
  /** Repeat: its passes, the first first. */
  readonly passes?: readonly Iteration[];
  /** Repeat: the pass that is shown inside. */
  readonly pass?: number;
}

export type Overlay = ReadonlyMap<string, NodeState>;

/** Which pass of a repeat is shown, by the repeat's path; the newest where nothing is chosen. */
export type ChosenPasses = Readonly<Record<string, number>>;

/** The passes in which a path lies: those of "cycle#2/regions[US]/train" are {cycle: 2}. */
export function passesOf(path: string): ChosenPasses {
  const segments = path.split("/");
  return Object.fromEntries(
    segments.flatMap((segment, at): [string, number][] => {
      const match = /^(.+)#(\d{1,9})$/.exec(segment);
      return match ? [[[...segments.slice(0, at), match[1]].join("/"), Number(match[2])]] : [];
    }),
  );
}

export function overlay(view: RunView, chosen: ChosenPasses): Overlay {
  const passes = passesByBlock(view.iterations);
  const shown = new Shown(passes, chosen);
  const states = new Map<string, NodeState>();
  for (const step of view.steps) {
    if (shown.is(step.path)) states.set(step.name, { path: step.path, status: step.status, step });
  }
  const cells = new Map<string, FoldedNode>();
  for (const folded of view.folded) {
    if (folded.kind === "cell") cells.set(folded.path, folded);
    else if (shown.is(folded.path)) states.set(nameOf(folded.path), foldedState(folded));
  }
  for (const block of view.blocks) {
    if (shown.is(block.path)) states.set(nameOf(block.path), blockState(block, passes, shown, cells));
  }
  return states;
}

function foldedState(folded: FoldedNode): NodeState {
  const counts = countsOf(folded.counts);
  return { path: folded.path, status: worstOf(counts), counts, folded };
}

function blockState(
  block: BlockView,
  passes: ReadonlyMap<string, Iteration[]>,
  shown: Shown,
  cells: ReadonlyMap<string, FoldedNode>,
): NodeState {
  const state = { path: block.path, status: block.status as number, block };
  if (block.kind === "repeat") {
    return { ...state, passes: passes.get(block.path) ?? [], pass: shown.passOf(block.path) };
  }
  const folded = cells.get(`${block.path}[]`);
  if (block.kind !== "for_each") return state;
  return { ...state, cells: cellCounts(block, folded) };
}

/** The cells of a foreach with those that have not begun. */
function cellCounts(block: BlockView, folded: FoldedNode | undefined): Counts {
  const counts = countsOf(folded?.counts ?? []);
  const begun = sum(counts);
  counts[Status.UNSPECIFIED] = (counts[Status.UNSPECIFIED] ?? 0) + Math.max(0, block.total - begun);
  return counts;
}

function passesByBlock(iterations: readonly Iteration[]): Map<string, Iteration[]> {
  const passes = new Map<string, Iteration[]>();
  for (const iteration of iterations) {
    const known = passes.get(iteration.block);
    if (known === undefined) passes.set(iteration.block, [iteration]);
    else known.push(iteration);
  }
  for (const known of passes.values()) known.sort((one, other) => one.number - other.number);
  return passes;
}

class Shown {
  constructor(
    private readonly passes: ReadonlyMap<string, Iteration[]>,
    private readonly chosen: ChosenPasses,
  ) {}

  passOf(block: string): number {
    return this.chosen[block] ?? this.passes.get(block)?.at(-1)?.number ?? 1;
  }

  /** Whether all passes on the way to a path are those that are shown. */
  is(path: string): boolean {
    let around = "";
    for (const segment of parsePath(path)) {
      const block = around === "" ? segment.name : `${around}/${segment.name}`;
      const pass = passOf(segment.cell);
      if (pass !== undefined && pass !== this.passOf(block)) return false;
      around = `${block}${segment.cell}`;
    }
    return true;
  }
}

function nameOf(path: string): string {
  return parsePath(path).at(-1)?.name ?? path;
}
