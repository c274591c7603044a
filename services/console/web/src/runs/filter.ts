import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { statusOf } from "../common/status";
import { parsedJson } from "../common/text";
import { formatTime, parseSince, type Zone } from "../common/time";
import type { Status } from "../gen/kaonapi/run/v1/run_pb";
import { type RunFilter, RunFilterSchema, RunOrder } from "../gen/kaonapi/view/v1/runs_pb";
import { splitLabel } from "../launch/draft";
import type { Order, RunsSearch } from "./search";

/** Returns what the server selects by. `now` is what ages such as "24h" count from. */
export function filterOf(search: RunsSearch, now: number): RunFilter {
  return create(RunFilterSchema, {
    statuses: (search.status ?? []).flatMap((name) => statusOf(name) ?? []) as Status[],
    workflows: search.workflow ? [search.workflow] : [],
    createdFrom: momentOf(search.since, now),
    createdUntil: momentOf(search.until, now),
    labels: Object.fromEntries((search.label ?? []).map(splitLabel)),
    paramsJson: Object.fromEntries((search.param ?? []).map(paramOf)),
    submitters: search.submitter ? [search.submitter] : [],
    origins: search.origin ? [search.origin] : [],
    parentRunId: search.parent ?? "",
    late: search.late === "yes" ? true : undefined,
    quarantined: search.quarantined === "yes" ? true : undefined,
    text: search.text ?? "",
  });
}

/** Splits "name=value"; a value that is no JSON is a text, so that nobody has to write quotes. */
function paramOf(text: string): [string, string] {
  const [name, value] = splitLabel(text);
  return [name, parsedJson(value) === undefined ? JSON.stringify(value) : value];
}

function momentOf(text: string | undefined, now: number): Timestamp | undefined {
  const millis = text === undefined ? undefined : parseSince(text, now);
  return millis === undefined ? undefined : timestampFromMs(Math.floor(millis));
}

const ORDER_OF: Readonly<Record<Order, RunOrder>> = {
  newest: RunOrder.NEWEST,
  oldest: RunOrder.OLDEST,
  longest: RunOrder.LONGEST,
  shortest: RunOrder.SHORTEST,
};

export function orderOf(search: RunsSearch): RunOrder {
  return ORDER_OF[search.order ?? "newest"];
}

/** One filter as a person sees it, and the address without it. */
export interface Chip {
  readonly key: string;
  readonly field: string;
  readonly value: string;
  readonly without: RunsSearch;
}

/** Returns the filters that are set, statuses and text left out: these have controls of their own. */
export function chipsOf(search: RunsSearch, zone: Zone): Chip[] {
  const one = (field: keyof RunsSearch, name: string, value: string | undefined): Chip[] =>
    value === undefined ? [] : [{ key: field, field: name, value, without: { ...search, [field]: undefined } }];
  const many = (field: "label" | "param", name: string): Chip[] =>
    (search[field] ?? []).map((value) => ({
      key: `${field} ${value}`,
      field: name,
      value,
      without: { ...search, [field]: (search[field] ?? []).filter((other) => other !== value) },
    }));
  return [
    ...one("workflow", "Workflow", search.workflow),
    ...one("submitter", "Submitter", search.submitter),
    ...one("origin", "Origin", search.origin),
    ...one("parent", "Parent run", search.parent),
    ...many("label", "Label"),
    ...many("param", "Parameter"),
    ...one("late", "Late", search.late),
    ...one("quarantined", "Quarantined", search.quarantined),
    ...one("since", "Since", search.since && momentText(search.since, zone)),
    ...one("until", "Until", search.until && momentText(search.until, zone)),
  ];
}

/** Ages stay ages; times are shown in the chosen zone. */
function momentText(text: string, zone: Zone): string {
  const millis = /^\d{4}-/.test(text) ? parseSince(text, 0) : undefined;
  return millis === undefined ? text : formatTime(millis, zone);
}

/** Whether anything is filtered, the order aside. */
export function isFiltered(search: RunsSearch): boolean {
  return Object.entries(search).some(([field, value]) => field !== "order" && value !== undefined);
}
