import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from "react";
import { useFollow } from "../api/live/live";
import { views } from "../api/views";
import { formatSearch } from "../common/search";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import type { WatchResponse } from "../gen/kaonapi/view/v1/watch_pb";
import { filterOf, orderOf } from "./filter";
import { type Changes, mergeRuns, withUpdate } from "./merge";
import type { RunsSearch } from "./search";

const PAGE = 100;
/** How often the counts are read again while runs change. */
const COUNT_MS = 2000;
const NONE: Changes = new Map();

export interface RunsList {
  readonly runs: readonly Run[];
  readonly error: unknown;
  /** The first page has not come yet. */
  readonly loading: boolean;
  /** There are pages that were not read yet. */
  readonly hasMore: boolean;
  readonly more: () => void;
  /** Reads pages until there are so many runs, all, or one cannot be read; returns the ids of the first ones. */
  readonly fill: (count: number) => Promise<string[]>;
  readonly retry: () => void;
  /** Counts up with every change that the stream tells. */
  readonly changed: number;
}

/** The moment from which ages such as "24h" count: that of the newest change of the filters. */
function useMoment(id: string): number {
  // biome-ignore lint/correctness/useExhaustiveDependencies: another filter is looked at from another moment
  return useMemo(() => Date.now(), [id]);
}

/** Returns what tells one choice of filters from another. */
export function idOf(search: RunsSearch): string {
  return formatSearch({ ...search });
}

/** The runs that the filters select, page by page, and live. */
export function useRuns(search: RunsSearch, pageSize = PAGE): RunsList {
  const id = idOf(search);
  const now = useMoment(id);
  const query = useInfiniteQuery({
    queryKey: ["runs", id, pageSize],
    queryFn: ({ pageParam, signal }) =>
      views.queryRuns(
        { filter: filterOf(search, now), order: orderOf(search), pageSize, pageToken: pageParam },
        { signal },
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken || undefined,
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  });
  const { changes, changed } = useChanges(id, search, now);
  const { data, hasNextPage, isFetchingNextPage, isPlaceholderData, fetchNextPage, refetch } = query;
  const pages = useMemo(() => data?.pages.flatMap((page) => page.runs.flatMap(({ run }) => run ?? [])), [data]);
  const runs = useMemo(
    () => mergeRuns(pages ?? [], isPlaceholderData ? NONE : changes, search.order ?? "newest", !hasNextPage),
    [pages, changes, isPlaceholderData, search.order, hasNextPage],
  );
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const fill = useCallback(
    async (count: number) => {
      for (;;) {
        const { data: read, hasNextPage: has, isError } = await fetchNextPage();
        const ids = read?.pages.flatMap((page) => page.runs.flatMap(({ run }) => run?.runId ?? [])) ?? [];
        if (!has || isError || ids.length >= count) return ids.slice(0, count);
      }
    },
    [fetchNextPage],
  );
  return {
    runs,
    error: pages ? undefined : query.error,
    loading: pages === undefined && !query.error,
    hasMore: hasNextPage,
    more,
    fill,
    retry: () => void refetch(),
    changed,
  };
}

/** Collects what the stream tells. */
function useChanges(id: string, search: RunsSearch, now: number): { changes: Changes; changed: number } {
  const [state, setState] = useState({ id, changes: NONE, changed: 0 });
  useEffect(() => setState(({ changed }) => ({ id, changes: NONE, changed })), [id]);
  const take = ({ update, snapshot }: WatchResponse) => {
    if (update.case !== "runs") return;
    const { value } = update;
    setState((before) => ({
      id,
      changes: withUpdate(snapshot || before.id !== id ? NONE : before.changes, value),
      changed: before.changed + 1,
    }));
  };
  useFollow(id, { case: "runs", value: topicOf(search, now) }, take);
  return state.id === id ? state : { changes: NONE, changed: state.changed };
}

function topicOf(search: RunsSearch, now: number) {
  return { $typeName: "kaonapi.view.v1.RunsTopic" as const, filter: filterOf(search, now), pageSize: PAGE };
}

/** How many runs there are by status and time. All statuses are counted, so that those that are filtered out can be chosen. */
export function useCounts(search: RunsSearch, buckets: number, changed: number, refetchInterval?: number) {
  const { status: _status, order: _order, ...others } = search;
  const id = idOf(others);
  const query = useQuery({
    queryKey: ["count-runs", id, buckets],
    queryFn: ({ signal }) => views.countRuns({ filter: filterOf(others, Date.now()), buckets }, { signal }),
    placeholderData: keepPreviousData,
    enabled: buckets > 0,
    refetchInterval,
  });
  const { refetch } = query;
  useThrottled(changed, COUNT_MS, refetch);
  return query;
}

/** Calls after a change, and while changes go on once in so many milliseconds. */
function useThrottled(changed: number, ms: number, call: () => unknown): void {
  const newest = useRef(call);
  newest.current = call;
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const first = useRef(changed);
  useEffect(() => {
    if (changed === first.current || timer.current !== undefined) return;
    timer.current = setTimeout(() => {
      timer.current = undefined;
      if (!document.hidden) newest.current();
    }, ms);
  }, [changed, ms]);
  useEffect(() => () => clearTimeout(timer.current), []);
}

/** What stands beside the cursor in lists: its row, kept within the list. */
export function useCursor(length: number): {
  cursor: number;
  move: (step: number) => void;
  place: (at: number) => void;
} {
  const [cursor, place] = useReducer((_: number, next: number) => next, -1);
  const within = Math.min(cursor, length - 1);
  const move = (step: number) => place(Math.max(0, Math.min(length - 1, within + step)));
  return { cursor: within, move, place };
}
