/** Puts what has changed in a run into what is known of it. Values stand as they are, so that applying a change twice does no harm. */

import type { BlockView, StepView } from "../../gen/kaonapi/run/v1/run_pb";
import type { FoldedNode, Iteration, RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { atOrUnder } from "../model/paths";

export function mergeRun(known: RunView | undefined, change: RunView, snapshot: boolean): RunView {
  if (known === undefined || snapshot) return change;
  const kept = new Keeper(change.removed);
  return {
    ...known,
    run: change.run ?? known.run,
    timeUs: change.timeUs || known.timeUs,
    steps: merged(kept.steps(known.steps), change.steps, pathOf),
    blocks: merged(kept.steps(known.blocks), change.blocks, pathOf),
    folded: merged(kept.folded(known.folded), change.folded, pathOf),
    iterations: merged(kept.iterations(known.iterations), change.iterations, iterationKey),
  };
}

class Keeper {
  private readonly removed: ReadonlySet<string>;

  constructor(removed: readonly string[]) {
    this.removed = new Set(removed);
  }

  steps<T extends StepView | BlockView>(known: T[]): T[] {
    return this.removed.size === 0 ? known : known.filter((entry) => !this.removed.has(entry.path));
  }

  folded(known: FoldedNode[]): FoldedNode[] {
    return this.removed.size === 0
      ? known
      : known.filter((entry) => !this.gone(entry.block) && !this.removed.has(entry.path));
  }

  iterations(known: Iteration[]): Iteration[] {
    return this.removed.size === 0 ? known : known.filter((entry) => !this.gone(entry.block));
  }

  private gone(path: string): boolean {
    if (this.removed.has(path)) return true;
    return [...this.removed].some((place) => atOrUnder(path, place));
  }
}

const pathOf = (entry: { path: string }): string => entry.path;
const iterationKey = (entry: Iteration): string => `${entry.block}#${entry.number}`;

/** Replaces entries of the same key where they stand; new ones come last. */
function merged<T>(known: T[], changes: readonly T[], key: (entry: T) => string): T[] {
  if (changes.length === 0) return known;
  const places = new Map(known.map((entry, at) => [key(entry), at]));
  const result = [...known];
  for (const change of changes) {
    const at = places.get(key(change));
    if (at === undefined) {
      places.set(key(change), result.length);
      result.push(change);
    } else {
      result[at] = change;
    }
  }
  return result;
}
