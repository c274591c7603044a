import { createStore, useStore } from "../common/store";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import type { Action } from "./bulk";

/** What became of one run. */
export interface Outcome {
  /** "lost": nobody answered, so that it may have been done or not. */
  readonly kind: "sending" | "done" | "refused" | "lost";
  /** For people: the reason, or how the run stands. */
  readonly text: string;
  /** The run that was made of it. */
  readonly made?: string;
}

/** One action on many runs: what was asked, and how far it has come. */
export interface Bulk {
  readonly action: Action;
  /** The runs as they stood when it was asked: a list that moves meanwhile is not what was agreed to. */
  readonly apply: readonly Run[];
  readonly leave: readonly { readonly run: Run; readonly reason: string }[];
  readonly phase: "asked" | "going" | "ended";
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** Whether its dialog is open. */
  readonly open: boolean;
}

/** One at a time. It outlives dialog and page: what was promised goes on. */
export const bulkStore = createStore<Bulk | undefined>(undefined);

/** Why no other one can begin; empty when one can. */
export function useBulkBusy(): string {
  return useStore(bulkStore)?.phase === "going" ? "Another action on many runs is still going on." : "";
}
