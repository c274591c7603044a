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
import { type KeyboardEvent, memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { faultOf } from "../api/fault";
import { views } from "../api/views";
import { EmptyState, ErrorState, LoadingState } from "../common/states";
import { counted, formatCount } from "../common/text";
import { formatClock } from "../common/time";
import { useZone } from "../common/zone";
import { Stream } from "../gen/kaonapi/log/v1/log_pb";
import type { Attempt } from "../gen/kaonapi/view/v1/run_view_pb";
import { notify } from "../run/notices";
import { sizeText } from "../run/outputs/size";
import { parseAnsi, plainText, type Style } from "./ansi";
import { downloadLog } from "./download";
import classes from "./LogView.module.css";
import { filterOf } from "./lines";
import { type Log, useLog } from "./useLog";
import { atEnd, type Item, isGap, isNamed, type Line, lineName, STDERR, SYSTEM, search } from "./window";

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
/** Of so many lines nobody asks for one by its number. */
const FEW = 100;

/** What a step printed, live. It follows the end only while the reader is there. */
export function LogView({ runId, path, attempts, untilUs, line, over, onLine }: Props) {
  const newest = attempts.at(-1)?.attempt ?? 0;
  const named = Number(line.split(".")[0]) || 0;
  const [chosen, setChosen] = useState(named);
  // Lines of one attempt can come from its whole log, and have one sequence of numbers.
  const attempt = chosen === 0 && newest === 1 ? 1 : chosen;
  const log = useLog(runId, path, attempt, untilUs, line);
  const { ended, loaded, error, whole } = log;
  const [streamChosen, setStream] = useState("all");
  // A whole log does not say where a line was printed.
  const stream = whole ? "all" : streamChosen;
  const [text, setText] = useState("");
  const [wanted] = useDebouncedValue(text, 200);
  const [wrap, setWrap] = useState(true);
  const [following, setFollowing] = useState(line === "");
  const [hit, setHit] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const items = useMemo(() => chosenItems(log.items, stream), [log.items, stream]);
  const found = useMemo(() => search(items, wanted, plainText), [items, wanted]);
  const hits = useMemo(() => new Set(found.places), [found]);
  const everywhere = useMatches(runId, path, attempt, untilUs, stream, wanted);
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
  }, [following, items]);
  // Where to go when the items are there: pages come after they are asked for.
  const aim = useRef<{ at: (items: readonly Item[]) => number; align: "start" | "center" | "end" }>(undefined);
  useEffect(() => {
    const at = aim.current?.at(items) ?? -1;
    if (!aim.current || at < 0) return;
    const { align } = aim.current;
    aim.current = undefined;
    setHit(Math.max(0, found.places.indexOf(at)));
    rows.scrollToIndex(at, { align });
  });
  const [marked, setMarked] = useState(0);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const asked = (asking: () => Promise<unknown>): void => {
    if (busy) return;
    setBusy(true);
    setProblem("");
    asking()
      .catch((failure) => setProblem(`More of the log could not be read: ${faultOf(failure).message}`))
      .finally(() => setBusy(false));
  };
  const older = async (): Promise<void> => {
    setFollowing(false);
    const added = await log.loadOlder();
    aim.current = { at: () => added, align: "start" };
  };
  const newer = async (): Promise<void> => {
    setFollowing(false);
    const end = items.length - (await log.loadNewer());
    aim.current = { at: () => end - 1, align: "end" };
  };
  const toLine = async (number: number): Promise<void> => {
    setFollowing(false);
    setMarked(number);
    if (await log.goTo(number)) {
      aim.current = { at: (all) => all.findIndex((item) => !isGap(item) && item.sequence === number), align: "center" };
      return;
    }
    setProblem(
      items.some(isGap)
        ? `Line ${formatCount(number)} is not among those that are kept here.`
        : `The log has no line ${formatCount(number)}.`,
    );
  };
  const choose = useCallback(
    (name: string) => {
      setMarked(0);
      onLine(name);
    },
    [onLine],
  );
  const toEnd = async (): Promise<void> => {
    await log.goToEnd();
    setFollowing(true);
  };
  const shownLine = useRef("");
  useEffect(() => {
    if (line === "" || shownLine.current === line) return;
    const at = items.findIndex((item) => !isGap(item) && isNamed(item, line));
    if (at < 0) return;
    shownLine.current = line;
    setFollowing(false);
    rows.scrollToIndex(at, { align: "center" });
  }, [line, items, rows]);

  const absent =
    loaded && line !== "" && shownLine.current !== line && !items.some((item) => !isGap(item) && isNamed(item, line));
  const jump = (by: number): void => {
    const onward = hit + by;
    const beyond = whole && Number(everywhere.data?.matches ?? 0n) > found.total;
    if (beyond && (found.places.length === 0 || onward < 0 || onward >= found.places.length)) {
      asked(async () => {
        const number = await log.find(wanted, by < 0);
        if (number !== undefined) await toLine(number);
      });
      return;
    }
    if (found.places.length === 0) return;
    const next = (onward + found.places.length) % found.places.length;
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
        {!whole && (
          <SegmentedControl
            value={stream}
            onChange={setStream}
            data={[
              { value: "all", label: "All" },
              { value: "stdout", label: "stdout" },
              { value: "stderr", label: "stderr" },
            ]}
          />
        )}
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
          {log.hasOlder && (
            <button type="button" className={classes.older} onClick={() => asked(older)}>
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
                  chosen={isChosen(items[index] as Item, line, marked)}
                  onLine={choose}
                />
              </div>
            ))}
          </div>
          {log.hasNewer && (
            <button type="button" className={classes.newer} onClick={() => asked(newer)}>
              Newer lines
            </button>
          )}
        </div>
      )}
      <div className={classes.foot}>
        <span>{extent(log)}</span>
        {(absent || problem !== "") && (
          <span role="status">
            {problem !== ""
              ? problem
              : items.some(isGap)
                ? "The line of the link is not among those that are kept here."
                : "The log has no such line as the link names."}
          </span>
        )}
        {attempt !== 0 && items.length > FEW && <LineField onGo={(number) => asked(() => toLine(number))} />}
        {(!following || log.hasNewer) && items.length > 0 && (
          <Button
            variant="light"
            size="compact-xs"
            leftSection={<IconArrowBarToDown size={13} />}
            onClick={() => asked(toEnd)}
          >
            {ended || over || untilUs !== undefined ? "To the end" : "Follow"}
          </Button>
        )}
        {untilUs !== undefined ? (
          <span>as they stood at the moment that is shown</span>
        ) : (
          following && !ended && !over && <span className={classes.live}>follows the end</span>
        )}
      </div>
    </section>
  );
}

/** Which lines are here, and of how many. */
function extent({ items, total, whole, count }: Log): string {
  const [first, last] = [items[0], items.at(-1)];
  if (!whole || !first || !last || isGap(first) || isGap(last)) return `${counted(total, "line")} here`;
  return `Lines ${formatCount(first.sequence)}–${formatCount(last.sequence)} of ${formatCount(count)}`;
}

function isChosen(item: Item, line: string, marked: number): boolean {
  return !isGap(item) && (marked > 0 ? item.sequence === marked : line !== "" && isNamed(item, line));
}

/** Goes to a line by its number. */
function LineField({ onGo }: { onGo: (line: number) => void }) {
  const [text, setText] = useState("");
  return (
    <TextInput
      className={classes.go}
      size="xs"
      placeholder="Line"
      aria-label="Go to line"
      inputMode="numeric"
      value={text}
      onChange={(event) => setText(event.currentTarget.value.replace(/\D/g, "").slice(0, 12))}
      onKeyDown={(event) => {
        if (event.key === "Enter" && Number(text) > 0) onGo(Number(text));
      }}
    />
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
  chosen: boolean;
  onLine: (line: string) => void;
}

const WHY = {
  "left-out": "left out here: search them, or download the whole log",
  "not-kept": "only in the whole log, which is shown of one attempt that has ended",
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
    <div className={classes.line} data-stream={streamName(item)} data-hit={hit || undefined} data-chosen={chosen}>
      <button
        type="button"
        className={classes.number}
        title={`${item.timeUs > 0 ? formatClock(item.timeUs / 1000, zone) : ""} ${streamName(item)}. Link to this line`}
        aria-label={`Link to line ${item.sequence}`}
        onClick={() => onLine(chosen ? "" : name)}
      >
        {item.sequence}
      </button>
      <span className={classes.text}>
        {item.continues && (
          <span className={classes.mark} title="This goes on the line before, which was shown before its end came">
            ↳{" "}
          </span>
        )}
        {parseAnsi(item.text).segments.map((segment, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of a line never change.
          <span key={at} style={styleOf(segment.style)}>
            {segment.text}
          </span>
        ))}
        {item.text === "" && " "}
        {(item.cutBytes ?? 0) > 0 && (
          <span className={classes.cut}>
            The beginning of a line of {sizeText(item.cutBytes ?? 0)}. The download has all of it.
          </span>
        )}
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
