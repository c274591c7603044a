import { TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { faultOf } from "../../api/fault";
import { StatusMark } from "../../common/StatusMark";
import { Duration } from "../../common/Time";
import { ToggleChips } from "../../common/ToggleChips";
import { clipped, counted, shown } from "../../common/text";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { CellOrder, type CellView } from "../../gen/kaonapi/view/v1/cells_pb";
import { metricText } from "../charts/format";
import { views } from "../clients";
import { useRunPage } from "../context";
import classes from "./Cells.module.css";
import type { CellSort } from "./cells";

const FILTERS: Readonly<Record<string, readonly Status[]>> = {
  Failed: [Status.FAILED, Status.TIMED_OUT, Status.QUARANTINED],
  Quarantined: [Status.QUARANTINED],
  Running: [Status.RUNNING, Status.SERVING, Status.CANCELLING],
  Waiting: [Status.READY, Status.WAITING, Status.PENDING],
  Done: [Status.SUCCEEDED],
  Off: [Status.SKIPPED, Status.CANCELLED],
};

const ORDERS: Readonly<Record<CellSort, CellOrder>> = {
  index: CellOrder.INDEX,
  duration: CellOrder.DURATION,
  metric: CellOrder.METRIC,
  status: CellOrder.STATUS,
};

interface Props {
  block: string;
  node: string;
  metric: string;
  sort: CellSort;
  descending: boolean;
  cursor: number;
  onCursor: (index: number) => void;
}

/** The cells as text, in the order of the heatmap. */
export function CellTable({ block, node, metric, sort, descending, cursor, onCursor }: Props) {
  const { runId, seq, live } = useRunPage();
  const [text, setText] = useState("");
  const [wanted] = useDebouncedValue(text, 250);
  const [filters, setFilters] = useState<string[]>([]);
  const statuses = useMemo(() => filters.flatMap((name) => FILTERS[name] ?? []), [filters]);
  const query = useInfiniteQuery({
    queryKey: ["cells", runId, block, node, metric, sort, descending, wanted, statuses, seq ?? "live"],
    queryFn: ({ pageParam, signal }) =>
      views.listCells(
        {
          runId,
          block,
          node,
          metric,
          statuses,
          text: wanted,
          order: ORDERS[sort],
          descending,
          pageSize: 200,
          pageToken: pageParam,
          moment: { at: { case: "seq", value: BigInt(seq ?? 0) } },
        },
        { signal },
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken || undefined,
    placeholderData: (before) => before,
  });
  const { refetch } = query;
  const second = Math.floor(Number(live.timeUs) / 2_000_000);
  // biome-ignore lint/correctness/useExhaustiveDependencies: every two seconds of the run's own time.
  useEffect(() => {
    if (seq === undefined) void refetch();
  }, [second, seq]);
  const cells = useMemo(() => query.data?.pages.flatMap((page) => page.cells) ?? [], [query.data]);
  const matches = Number(query.data?.pages[0]?.matches ?? 0n);
  return (
    <div className={classes.side} aria-busy={query.isPending && !query.error}>
      <div className={classes.filters}>
        <TextInput
          leftSection={<IconSearch size={13} />}
          placeholder="Search keys and items"
          aria-label="Search keys and items"
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <ToggleChips label="Only cells that" names={Object.keys(FILTERS)} chosen={filters} onChange={setFilters} />
      </div>
      <p className={classes.matches} aria-live="polite">
        {query.data ? counted(matches, "cell") : query.error ? shown(faultOf(query.error).message) : "Loading cells"}
      </p>
      <Rows
        cells={cells}
        metric={metric}
        cursor={cursor}
        onCursor={onCursor}
        more={query.hasNextPage && !query.isFetchingNextPage}
        load={() => void query.fetchNextPage()}
      />
    </div>
  );
}

interface RowsProps {
  cells: readonly CellView[];
  metric: string;
  cursor: number;
  onCursor: (index: number) => void;
  more: boolean;
  load: () => void;
}

function Rows({ cells, metric, cursor, onCursor, more, load }: RowsProps) {
  const { go } = useRunPage();
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: cells.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 32,
    overscan: 12,
  });
  const items = rows.getVirtualItems();
  const end = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (more && end >= cells.length - 10) load();
  }, [more, end, cells.length, load]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only a cursor that moved brings its row into sight.
  useEffect(() => {
    const at = cells.findIndex((cell) => Number(cell.index) === cursor);
    if (cursor >= 0 && at >= 0) rows.scrollToIndex(at, { align: "auto" });
  }, [cursor]);
  return (
    <div ref={scroller} className={classes.rows}>
      <ul style={{ height: rows.getTotalSize() }}>
        {items.map(({ index, start }) => {
          const cell = cells[index] as CellView;
          const at = Number(cell.index);
          return (
            <li key={at} style={{ transform: `translateY(${start}px)` }}>
              <button
                type="button"
                className={classes.row}
                data-cursor={at === cursor}
                onClick={() => {
                  onCursor(at);
                  if (cell.path !== "") go({ step: cell.nodePath || cell.path });
                }}
              >
                <StatusMark status={cell.status || Status.PENDING} size={13} />
                <code title={shown(cell.itemJson)}>{shown(clipped(cell.key || cell.itemJson || String(at), 60))}</code>
                <span className={classes.problem}>{shown(clipped(cell.error?.message ?? "", 80))}</span>
                <span className={classes.number}>
                  {cell.metric !== undefined && metric !== "" ? (
                    metricText(cell.metric)
                  ) : (
                    <Duration from={cell.startTime} to={cell.endTime} />
                  )}
                </span>
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
