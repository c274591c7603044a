import { listOf, textOf } from "../common/search";
import { RUN_STATUSES } from "../common/status";

/** In which order runs are listed. */
export const ORDERS = ["newest", "oldest", "longest", "shortest"] as const;
export type Order = (typeof ORDERS)[number];

/** The filters of the list of runs, as the address holds them. */
export interface RunsSearch {
  /** Names of statuses: "FAILED". */
  readonly status?: readonly string[];
  readonly workflow?: string;
  readonly text?: string;
  /** An age ("24h") or a time. */
  readonly since?: string;
  readonly until?: string;
  /** "name=value", or "name" for every value. */
  readonly label?: readonly string[];
  /** "name=value": the value as JSON, or a plain text. */
  readonly param?: readonly string[];
  readonly submitter?: string;
  /** "schedule:nightly", "schedule:", "manual". */
  readonly origin?: string;
  /** Id of a run of which the sub-workflow runs are listed. */
  readonly parent?: string;
  /** "yes" where only runs count that have missed their deadline. */
  readonly late?: "yes";
  /** "yes" where only runs count that failed with a quarantined step. */
  readonly quarantined?: "yes";
  readonly order?: Order;
}

/** So many runs go into one file: no spreadsheet is better off with more, and the browser keeps them all. */
export const MOST_EXPORTED = 50_000;

/** Whether a text is of the form "name=value", as a filter by a parameter is. */
export function isParam(text: string): boolean {
  return /^\s*[^=\s][^=]*=/.test(text);
}

/** Keeps of an address what this page understands. */
export function validateRunsSearch(search: Record<string, unknown>): RunsSearch {
  const known = new Set(RUN_STATUSES.map(({ name }) => name));
  const status = listOf(search.status).filter((name) => known.has(name));
  const label = listOf(search.label);
  const param = listOf(search.param).filter(isParam);
  return {
    status: status.length > 0 ? status : undefined,
    workflow: textOf(search.workflow),
    text: textOf(search.text),
    since: textOf(search.since),
    until: textOf(search.until),
    label: label.length > 0 ? label : undefined,
    param: param.length > 0 ? param : undefined,
    submitter: textOf(search.submitter),
    origin: textOf(search.origin),
    parent: textOf(search.parent),
    late: search.late === "yes" ? "yes" : undefined,
    quarantined: search.quarantined === "yes" ? "yes" : undefined,
    order: ORDERS.find((order) => order === search.order && order !== "newest"),
  };
}
