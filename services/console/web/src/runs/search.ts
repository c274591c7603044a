import { listOf, textOf } from "../shared/search";
import { RUN_STATUSES } from "../shared/status";

/** The filters of the list of runs, as the address holds them. */
export interface RunsSearch {
  /** Names of statuses: "FAILED". */
  readonly status?: readonly string[];
  readonly workflow?: string;
  readonly text?: string;
  /** An age ("24h") or a time. */
  readonly since?: string;
  readonly until?: string;
  /** "name=value" or "name". */
  readonly label?: readonly string[];
  readonly submitter?: string;
}

/** Keeps of an address what this page understands. */
export function validateRunsSearch(search: Record<string, unknown>): RunsSearch {
  const known = new Set(RUN_STATUSES.map(({ name }) => name));
  const status = listOf(search.status).filter((name) => known.has(name));
  const label = listOf(search.label);
  return {
    status: status.length > 0 ? status : undefined,
    workflow: textOf(search.workflow),
    text: textOf(search.text),
    since: textOf(search.since),
    until: textOf(search.until),
    label: label.length > 0 ? label : undefined,
    submitter: textOf(search.submitter),
  };
}
