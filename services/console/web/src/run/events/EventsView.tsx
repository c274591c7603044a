import { Button, Switch, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconFilter } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { ListHead } from "../../common/ListHead";
import { StatusMark } from "../../common/StatusMark";
import { EmptyState, ErrorState, LoadingState } from "../../common/states";
import { ToggleChips } from "../../common/ToggleChips";
import { counted, shown } from "../../common/text";
import { formatClock, formatExact } from "../../common/time";
import { useZone } from "../../common/zone";
import type { HistoryEvent } from "../../gen/kaonapi/run/v1/history_pb";
import { views } from "../clients";
import { useRunPage } from "../context";
import classes from "./EventsView.module.css";
import { eventLine, GROUPS } from "./eventText";

const PAGE = 200;

/** The history of the run: what the engine decided, event by event. */
export function EventsView() {
  const { runId, search, go, live } = useRunPage();
  const [path, setPath] = useState(search.text);
  const [wanted] = useDebouncedValue(path, 250);
  const [oldest, setOldest] = useState(false);
  useEffect(() => {
    if (wanted !== search.text) go({ text: wanted }, { replace: true });
  }, [wanted, search.text, go]);
  const kinds = useMemo(() => search.kinds.flatMap((group) => GROUPS[group] ?? []), [search.kinds]);
  const last = Number(live.run?.lastSeq ?? 0n);
  const events = useInfiniteQuery({
    queryKey: ["events", runId, search.text, kinds, oldest],
    queryFn: ({ pageParam, signal }) =>
      views.listEvents(
        { runId, path: search.text, kinds, pageSize: PAGE, pageToken: pageParam, oldestFirst: oldest },
        { signal },
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken || undefined,
    staleTime: 1_000,
  });
  const newest = useRef(last);
  const { refetch, isFetching } = events;
  useEffect(() => {
    if (last === newest.current || isFetching) return;
    const timer = setTimeout(() => {
      newest.current = last;
      void refetch();
    }, 500);
    return () => clearTimeout(timer);
  }, [last, refetch, isFetching]);
  const list = useMemo(() => events.data?.pages.flatMap((page) => page.events) ?? [], [events.data]);
  const showAll = (): void => {
    setPath("");
    go({ text: "", kinds: [] });
  };
  return (
    <section className={classes.view} aria-label="Events">
      <div className={classes.bar}>
        <TextInput
          className={classes.path}
          leftSection={<IconFilter size={13} />}
          placeholder="At or under a path, such as cycle#2"
          aria-label="Only events at or under this path"
          value={path}
          onChange={(event) => setPath(event.currentTarget.value)}
        />
        <ToggleChips
          label="Only events of"
          names={Object.keys(GROUPS)}
          chosen={search.kinds}
          onChange={(kinds) => go({ kinds }, { replace: true })}
        />
        <Switch label="Oldest first" checked={oldest} onChange={(event) => setOldest(event.currentTarget.checked)} />
        <span className={classes.count}>{counted(last, "event")} in all</span>
      </div>
      {events.error && list.length === 0 && <ErrorState error={events.error} retry={() => void events.refetch()} />}
      {events.isPending && <LoadingState label="Loading the history" />}
      {events.isSuccess && list.length === 0 && !events.hasNextPage && (
        <EmptyState title="No event matches">
          <Button variant="default" onClick={showAll}>
            Show all
          </Button>
        </EmptyState>
      )}
      {(list.length > 0 || events.hasNextPage) && (
        <EventList
          list={list}
          more={events.hasNextPage}
          loading={events.isFetchingNextPage}
          load={() => void events.fetchNextPage()}
        />
      )}
    </section>
  );
}

interface ListProps {
  list: readonly HistoryEvent[];
  more: boolean;
  loading: boolean;
  load: () => void;
}

function EventList({ list, more, loading, load }: ListProps) {
  const { go, seq } = useRunPage();
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: list.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 30,
    overscan: 15,
  });
  const items = rows.getVirtualItems();
  const end = items.at(-1)?.index ?? -1;
  useEffect(() => {
    if (more && !loading && end >= list.length - 20) load();
  }, [more, loading, end, list.length, load]);
  const open = (event: HistoryEvent): void => {
    const line = eventLine(event);
    go({ seq: Number(event.seq), step: line.path.endsWith("/") ? "" : line.path });
  };
  return (
    <div ref={scroller} className={classes.list}>
      <ListHead className={classes.row} titles={["Event", "Time", "What", "Where", "Details"]} ends={0} />
      <ul style={{ height: rows.getTotalSize() }}>
        {items.map(({ index, start }) => {
          const event = list[index] as HistoryEvent;
          return (
            <li key={String(event.seq)} style={{ transform: `translateY(${start}px)` }}>
              <EventRow event={event} shownNow={Number(event.seq) === seq} open={open} />
            </li>
          );
        })}
      </ul>
      {loading && <p className={classes.more}>Loading more…</p>}
    </div>
  );
}

interface RowProps {
  event: HistoryEvent;
  shownNow: boolean;
  open: (event: HistoryEvent) => void;
}

function EventRow({ event, shownNow, open }: RowProps) {
  const zone = useZone();
  const line = eventLine(event);
  const millis = Number(event.timeUs) / 1000;
  return (
    <button type="button" className={classes.row} data-shown={shownNow} onClick={() => open(event)}>
      <span className={classes.seq}>{String(event.seq)}</span>
      <span className={classes.time} title={formatExact(millis, zone)}>
        {formatClock(millis, zone)}
      </span>
      <span className={classes.kind}>
        {line.status !== undefined ? <StatusMark status={line.status} size={12} labelled={false} /> : <i />}
        {line.kind}
      </span>
      <code className={classes.where}>{shown(line.path)}</code>
      <span className={classes.text}>{shown(line.text)}</span>
    </button>
  );
}
