import type { Command } from "../api/refusals";
import { statusLook } from "../common/status";
import { type Run, Status } from "../gen/kaonapi/run/v1/run_pb";

/** What can be done with many runs at once. */
export type Action = "cancel" | "retry" | "rerun";

export interface ActionLook {
  readonly label: string;
  /** What is said while it goes on, and when it is done: "Cancelling", "Cancelled". */
  readonly going: string;
  readonly done: string;
  readonly command: Command;
  /** What it does, for the question before it is done. */
  readonly effect: string;
  /** What is said of a run that it cannot be done with; undefined when it can. */
  readonly refuses: (run: Run) => string | undefined;
}

const RETRIED: readonly Status[] = [Status.FAILED, Status.TIMED_OUT, Status.CANCELLED];

export const ACTIONS: Readonly<Record<Action, ActionLook>> = {
  cancel: {
    label: "Cancel",
    going: "Cancelling",
    done: "Cancelled",
    command: "CancelRun",
    effect: "Each is asked to stop. Its hooks still run.",
    refuses: ({ status }) => (statusLook(status).terminal ? "has ended" : undefined),
  },
  retry: {
    label: "Retry",
    going: "Retrying",
    done: "Retried",
    command: "RetryRun",
    effect: "What failed, was stopped or never began runs again. What has succeeded is kept.",
    refuses: ({ status }) =>
      RETRIED.includes(status) ? undefined : statusLook(status).terminal ? "has not failed" : "has not ended",
  },
  rerun: {
    label: "Rerun",
    going: "Rerunning",
    done: "Rerun",
    command: "RerunRun",
    effect: "Submits a new run of each, of the same version with the same parameters.",
    refuses: () => undefined,
  },
};

/** Splits the chosen runs into those that the action applies to and those that it does not, with the reason. */
export function planOf(action: Action, runs: readonly Run[]): { apply: Run[]; leave: { run: Run; reason: string }[] } {
  const apply: Run[] = [];
  const leave: { run: Run; reason: string }[] = [];
  for (const run of runs) {
    const reason = ACTIONS[action].refuses(run);
    if (reason === undefined) apply.push(run);
    else leave.push({ run, reason });
  }
  return { apply, leave };
}

/** Returns the choice after a click: one run more or less, or with `from` all between. */
export function choose(
  chosen: ReadonlySet<string>,
  ids: readonly string[],
  clicked: string,
  from: string | undefined,
): ReadonlySet<string> {
  const next = new Set(chosen);
  const on = !chosen.has(clicked);
  const [first, last] = [ids.indexOf(from ?? clicked), ids.indexOf(clicked)].sort((a, b) => a - b) as [number, number];
  for (const id of first < 0 ? [clicked] : ids.slice(first, last + 1)) {
    if (on) next.add(id);
    else next.delete(id);
  }
  return next;
}

/** Does something for each item, at most `width` at once, and goes on when one fails; after `ended` it begins no more. */
export async function eachOf<T, R>(
  items: readonly T[],
  width: number,
  act: (item: T) => Promise<R>,
  told: (item: T, result: R | undefined, error: unknown) => void,
  ended: () => boolean = () => false,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length && !ended()) {
      const item = items[next++] as T;
      await act(item).then(
        (result) => told(item, result, undefined),
        (error: unknown) => told(item, undefined, error ?? new Error("unknown")),
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}
