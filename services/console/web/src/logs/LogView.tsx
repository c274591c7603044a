import { ActionIcon, Button, Menu, SegmentedControl, TextInput, Tooltip } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import {
  IconArrowBarToDown,
  IconChevronDown,
  IconChevronUp,
  IconDownload,
  IconSearch,
  IconTextWrap,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, memo, useEffect, useMemo, useRef, useState } from "react";
import { faultOf } from "../api/fault";
import { views } from "../api/views";
import { EmptyState, ErrorState, LoadingState } from "../common/states";
import { counted, formatCount } from "../common/text";
import { formatClock } from "../common/time";
import { useZone } from "../common/zone";
import { Stream } from "../gen/kaonapi/log/v1/log_pb";
import type { Attempt } from "../gen/kaonapi/view/v1/run_view_pb";
import { notify } from "../run/notices";
import { parseAnsi, plainText, type Style } from "./ansi";
import { downloadLog } from "./download";
import classes from "./LogView.module.css";
import { filterOf, useLog } from "./useLog";
import { atEnd, type Item, isGap, type Line, lineName, STDERR, SYSTEM, search } from "./window";

interface Props {
  runId: string;
  path: string;
  attempts: readonly Attempt[];
  /** The moment that is shown, microseconds since the epoch; undefined is now. */
  untilUs?: number | undefined;
  /** The line that the address names. */
  line: string;
  /** The step has ended: what it has printed by now is all. */
  over: boolean;
  onLine: (line: string) => void;
}

const ROW = 19;

/** What a step printed, live. It follows the end only while the reader is there. */
export function LogView({ runId, path, attempts, untilUs, line, over, onLine }: Props) {
  const newest = attempts.at(-1)?.attempt ?? 0;
  const named = Number(line.split(".")[0]) || 0;
  const [chosen, setChosen] = useState(named);
  const { log, version, ended, loaded, error, olderCursor, loadOlder } = useLog(runId, path, chosen, untilUs);
  const [stream, setStream] = useState("all");
  const [text, setText] = useState("");
  const [wanted] = useDebouncedValue(text, 200);
  const [wrap, setWrap] = useState(true);
  const [following, setFollowing] = useState(line === "");
  const [hit, setHit] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the log is one object whose version changes.
  const items = useMemo(() => chosenItems(log.items(), stream), [log, version, stream]);
  const found = useMemo(() => search(items, wanted, plainText), [items, wanted]);
  const hits = useMemo(() => new Set(found.places), [found]);
  const everywhere = useMatches(runId, path, chosen, untilUs, stream, wanted);
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    getItemKey: (at) => (items[at] as Item).key,
    overscan: 20,
  });

  // biome-ignore lint/correctness/useExhaustiveDependencies: every new line moves the end.
  useEffect(() => {
    if (following && items.length > 0) rows.scrollToIndex(items.length - 1, { align: "end" });
  }, [following, items.length, version]);
  const shownLine = useRef("");
  useEffect(() => {
    if (line === "" || shownLine.current === line) return;
    const at = items.findIndex((item) => !isGap(item) && lineName(item) === line);
    if (at < 0) return;
    shownLine.current = line;
    setFollowing(false);
    rows.scrollToIndex(at, { align: "center" });
  }, [line, items, rows]);

  const absent =
    loaded &&
    line !== "" &&
    shownLine.current !== line &&
    !items.some((item) => !isGap(item) && lineName(item) === line);
  const jump = (by: number): void => {
    if (found.places.length === 0) return;
    const next = (hit + by + found.places.length) % found.places.length;
    setHit(next);
    setFollowing(false);
    rows.scrollToIndex(found.places[next] as number, { align: "center" });
  };
  if (error) return <ErrorState error={error} />;
  if (!loaded) return <LoadingState label="Loading the log" />;
  const searchKeys = (event: KeyboardEvent): void => {
    if (event.key === "Enter") jump(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") setText("");
  };
  return (
    <section className={classes.view} aria-label="Log">
      <div className={classes.bar}>
        <TextInput
          className={classes.search}
          placeholder="Search the log"
          aria-label="Search the log"
          leftSection={<IconSearch size={13} />}
          value={text}
          onChange={(event) => {
            setText(event.currentTarget.value);
            setHit(0);
          }}
          onKeyDown={searchKeys}
        />
        {wanted !== "" && (
          <span className={classes.found} aria-live="polite">
            {found.total === 0 ? "none here" : `${hit + 1} of ${formatCount(found.total)}`}
            {everywhere.data !== undefined && Number(everywhere.data.matches) > found.total && (
              <>, {formatCount(everywhere.data.matches)} in the whole log</>
            )}
            <ActionIcon size="xs" aria-label="Previous match" onClick={() => jump(-1)}>
              <IconChevronUp size={13} />
            </ActionIcon>
            <ActionIcon size="xs" aria-label="Next match" onClick={() => jump(1)}>
              <IconChevronDown size={13} />
            </ActionIcon>
          </span>
        )}
        <SegmentedControl
          value={stream}
          onChange={setStream}
          data={[
            { value: "all", label: "All" },
            { value: "stdout", label: "stdout" },
            { value: "stderr", label: "stderr" },
          ]}
        />
        {newest > 1 && (
          <Menu>
            <Menu.Target>
              <Button variant="default" size="compact-xs" rightSection={<IconChevronDown size={12} />}>
                {chosen === 0 ? "All attempts" : `Attempt ${chosen}`}
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => setChosen(0)}>All attempts</Menu.Item>
              {Array.from({ length: newest }, (_, at) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: attempts are numbered.
                <Menu.Item key={at} onClick={() => setChosen(at + 1)}>
                  Attempt {at + 1}
                </Menu.Item>
              ))}
            </Menu.Dropdown>
          </Menu>
        )}
        <Tooltip label={wrap ? "Long lines are wrapped" : "Long lines go on"}>
          <ActionIcon aria-label="Wrap long lines" aria-pressed={wrap} onClick={() => setWrap(!wrap)} data-on={wrap}>
            <IconTextWrap size={15} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Download the whole log of the attempt">
          <ActionIcon
            aria-label="Download the whole log"
            onClick={() =>
              downloadLog(runId, path, chosen || newest).catch((problem) =>
                notify(`The log could not be downloaded: ${faultOf(problem).message}`, false),
              )
            }
          >
            <IconDownload size={15} />
          </ActionIcon>
        </Tooltip>
      </div>
      {items.length === 0 ? (
        <EmptyState title={emptyTitle(untilUs !== undefined, ended || over)} />
      ) : (
        <div
          ref={scroller}
          className={classes.lines}
          data-wrap={wrap}
          role="log"
          aria-label="Lines"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled by keys.
          tabIndex={0}
          onScroll={(event) => {
            const { scrollTop, clientHeight, scrollHeight } = event.currentTarget;
            setFollowing(atEnd({ top: scrollTop, height: clientHeight, content: scrollHeight }));
          }}
        >
          {olderCursor !== "" && (
            <button type="button" className={classes.older} onClick={() => void loadOlder()}>
              Older lines
            </button>
          )}
          <div className={classes.space} style={{ height: rows.getTotalSize() }}>
            {rows.getVirtualItems().map(({ index, start, key }) => (
              <div
                key={key}
                ref={rows.measureElement}
                data-index={index}
                className={classes.place}
                style={{ transform: `translateY(${start}px)` }}
              >
                <Row
                  item={items[index] as Item}
                  hit={hits.has(index) ? (found.places[hit] === index ? "current" : "other") : ""}
                  chosen={line}
                  onLine={onLine}
                />
              </div>
            ))}
          </div>
        </div>
      )}
      <div className={classes.foot}>
        <span>{counted(log.total, "line")} here</span>
        {absent && (
          <span role="status">
            {olderCursor === ""
              ? "The log has no such line as the link names."
              : "The line of the link is an older one."}
          </span>
        )}
        {!following && items.length > 0 && (
          <Button
            variant="light"
            size="compact-xs"
            leftSection={<IconArrowBarToDown size={13} />}
            onClick={() => setFollowing(true)}
          >
            {ended || untilUs !== undefined ? "To the end" : "Follow"}
          </Button>
        )}
        {untilUs !== undefined ? (
          <span>as they stood at the moment that is shown</span>
        ) : (
          following && !ended && <span className={classes.live}>follows the end</span>
        )}
      </div>
    </section>
  );
}

function emptyTitle(past: boolean, ended: boolean): string {
  if (past) return "The step had printed nothing by then";
  return ended ? "The step printed nothing" : "The step has printed nothing yet";
}

function chosenItems(items: readonly Item[], stream: string): readonly Item[] {
  if (stream === "all") return items;
  return items.filter((item) => isGap(item) || (item.stream === STDERR) === (stream === "stderr"));
}

/** How often a text is found in the whole log, counted by the server. */
function useMatches(
  runId: string,
  path: string,
  attempt: number,
  untilUs: number | undefined,
  stream: string,
  text: string,
) {
  const streams = stream === "all" ? [] : [stream === "stderr" ? Stream.STDERR : Stream.STDOUT];
  return useQuery({
    queryKey: ["log-matches", runId, path, attempt, untilUs, stream, text],
    queryFn: ({ signal }) =>
      views.countLogs(
        { filter: { ...filterOf(runId, path, attempt, untilUs), streams, text, ignoreCase: true } },
        { signal },
      ),
    enabled: text !== "",
    staleTime: 5_000,
  });
}

interface RowProps {
  item: Item;
  hit: string;
  chosen: string;
  onLine: (line: string) => void;
}

const WHY = {
  "left-out": "left out here: search them, or download the whole log",
  "not-kept": "only in the whole log",
  lost: "lost: the step printed faster than its runner could send",
} as const;

const Row = memo(function Row({ item, hit, chosen, onLine }: RowProps) {
  const zone = useZone();
  if (isGap(item)) {
    return (
      <div className={classes.gap}>
        {counted(item.count, "line")} {WHY[item.why]}
      </div>
    );
  }
  const name = lineName(item);
  return (
    <div
      className={classes.line}
      data-stream={streamName(item)}
      data-hit={hit || undefined}
      data-chosen={chosen === name}
    >
      <button
        type="button"
        className={classes.number}
        title={`${item.timeUs > 0 ? formatClock(item.timeUs / 1000, zone) : ""} ${streamName(item)}. Link to this line`}
        aria-label={`Link to line ${item.sequence}`}
        onClick={() => onLine(chosen === name ? "" : name)}
      >
        {item.sequence}
      </button>
      <span className={classes.text}>
        {parseAnsi(item.text).segments.map((segment, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of a line never change.
          <span key={at} style={styleOf(segment.style)}>
            {segment.text}
          </span>
        ))}
        {item.text === "" && " "}
      </span>
    </div>
  );
});

function streamName(line: Line): string {
  if (line.stream === STDERR) return "stderr";
  return line.stream === SYSTEM ? "system" : "stdout";
}

function styleOf(style: Style): Record<string, string | number> | undefined {
  if (Object.keys(style).length === 0) return undefined;
  const front = colorOf(style.color);
  const back = colorOf(style.background);
  const swapped = style.inverse === true;
  return {
    ...(swapped || front ? { color: swapped ? (back ?? "var(--ground)") : (front as string) } : {}),
    ...(swapped || back ? { background: swapped ? (front ?? "var(--text)") : (back as string) } : {}),
    ...(style.bold ? { fontWeight: 700 } : {}),
    ...(style.dim ? { opacity: 0.65 } : {}),
    ...(style.italic ? { fontStyle: "italic" } : {}),
    ...(style.underline ? { textDecoration: "underline" } : {}),
    ...(style.strike ? { textDecoration: "line-through" } : {}),
  };
}

function colorOf(color: number | string | undefined): string | undefined {
  return typeof color === "number" ? `var(--ansi-${color})` : color;
}
