import { createContext, useContext } from "react";
import type { RunView } from "../gen/kaonapi/view/v1/run_view_pb";
import type { WorkflowDefinition } from "../gen/kaonapi/workflow/v1/definition_pb";
import type { GraphModel } from "./model/graph";
import type { Overlay } from "./model/overlay";
import type { Go, RunSearch } from "./search";

/** What all parts of a run page know. */
export interface RunPageState {
  readonly runId: string;
  /** The run as it is shown: now, or as it was. */
  readonly view: RunView;
  /** The run as it stands now. */
  readonly live: RunView;
  readonly definition: WorkflowDefinition | undefined;
  readonly graph: GraphModel | undefined;
  readonly overlay: Overlay;
  readonly search: RunSearch;
  readonly go: Go;
  /** The event that is shown; undefined means now. */
  readonly seq: number | undefined;
  /** Somebody drags the scrubber: `overlay` is of that moment, the rest is not. */
  readonly dragging?: boolean;
}

export const RunPageContext = createContext<RunPageState | undefined>(undefined);

export function useRunPage(): RunPageState {
  const state = useContext(RunPageContext);
  if (state === undefined) throw new Error("used outside of a run page");
  return state;
}

/** The id of the drawer's element, for what leads into it. */
export const DRAWER = "details";
