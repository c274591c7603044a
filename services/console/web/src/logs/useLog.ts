import { create } from "@bufbuild/protobuf";
import { useCallback, useEffect, useRef, useState } from "react";
import { follow } from "../api/live/live";
import { views } from "../api/views";
import type { LogLines } from "../gen/kaonapi/log/v1/log_pb";
import { LogsTopicSchema } from "../gen/kaonapi/view/v1/watch_pb";
import { filterOf, lineOfEntry, linesOf, pageOf } from "./lines";
import { PageWindow } from "./pages";
import { type Item, isGap, isNamed, LogWindow } from "./window";

const TAIL = 2_000;
/** Lines that are read before the one that is asked for: it stands in the middle. */
const BEFORE = 500;

export interface Log {
  readonly items: readonly Item[];
  /** Lines that are here. */
  readonly total: number;
  readonly ended: boolean;
  readonly loaded: boolean;
  readonly error: unknown;
  /** The pages are of the whole log of an attempt, so none of its lines is missing. */
  readonly whole: boolean;
  /** Lines of the whole log. */
  readonly count: number;
  readonly hasOlder: boolean;
  readonly hasNewer: boolean;
  /** Returns how many items came before the others. */
  readonly loadOlder: () => Promise<number>;
  /** Returns how many of the first items were forgotten for them. */
  readonly loadNewer: () => Promise<number>;
  /** Reads until a line is here, by its number; returns whether there is one. */
  readonly goTo: (line: number) => Promise<boolean>;
  readonly goToEnd: () => Promise<void>;
  /** Returns the number of the next line that has a text, beyond those that are here; undefined when there is none. */
  readonly find: (text: string, backwards: boolean) => Promise<number | undefined>;
}

/** What is asked for of the log. */
interface Wish {
  cursor?: string;
  backwards?: boolean;
  pageSize?: number;
  fromLine?: bigint;
  text?: string;
}

type Window = LogWindow | PageWindow;

/**
 * The newest lines of a step, live, or those up to a moment; others on demand. Neither the whole log nor a long one is ever in memory.
 *
 * @param untilUs - microseconds since the epoch; undefined follows what is printed.
 * @param line - the name of a line that is read, too; "" is none.
 */
export function useLog(runId: string, path: string, attempt: number, untilUs: number | undefined, line: string): Log {
  const log = useRef<Window>(new LogWindow());
  const [, setVersion] = useState(0);
  const [ended, setEnded] = useState(false);
  const [loaded, setLoaded] = useState(false);
  const [error, setError] = useState<unknown>();
  const [count, setCount] = useState(0);
  const older = useRef("");
  const drawn = useCallback(() => setVersion((before) => before + 1), []);
  const query = useCallback(
    ({ text = "", ...more }: Wish, signal?: AbortSignal) => {
      const filter = { ...filterOf(runId, path, attempt, untilUs), text, ignoreCase: true };
      return views.queryLogs({ pageSize: TAIL, ...more, filter }, signal ? { signal } : {});
    },
    [runId, path, attempt, untilUs],
  );
  const loadOlder = useCallback(async () => {
    const window = log.current;
    const before = window.items().length;
    if (window instanceof PageWindow) {
      const page = pageOf(await query({ cursor: window.olderCursor, backwards: true }));
      window.addOlder(page);
      drawn();
      return page.lines.length;
    }
    const page = await query({ cursor: older.current, backwards: true });
    window.prepend(page.entries.map(lineOfEntry));
    older.current = page.olderCursor;
    drawn();
    return window.items().length - before;
  }, [query, drawn]);
  const loadNewer = useCallback(async () => {
    const window = log.current;
    if (!(window instanceof PageWindow)) return 0;
    const forgotten = window.addNewer(pageOf(await query({ cursor: window.newerCursor })));
    drawn();
    return forgotten;
  }, [query, drawn]);
  const reach = useCallback(
    async (is: (item: Item) => boolean, number: number) => {
      const window = log.current;
      if (window.items().some(is)) return true;
      if (window instanceof PageWindow) {
        const page = pageOf(await query({ fromLine: BigInt(Math.max(1, number - BEFORE)) }));
        if (!page.lines.some(is)) return false;
        log.current = new PageWindow(page);
        drawn();
        return true;
      }
      while (older.current !== "" && !window.items().some(is)) await loadOlder();
      return window.items().some(is);
    },
    [query, drawn, loadOlder],
  );
  const goTo = useCallback(
    (number: number) => reach((item) => !isGap(item) && item.sequence === number, number),
    [reach],
  );
  const goToEnd = useCallback(async () => {
    if (!(log.current instanceof PageWindow) || log.current.newerCursor === "") return;
    log.current = new PageWindow(pageOf(await query({ backwards: true })));
    drawn();
  }, [query, drawn]);
  const find = useCallback(
    async (text: string, backwards: boolean) => {
      const window = log.current;
      if (!(window instanceof PageWindow)) return undefined;
      let cursor = backwards ? window.olderCursor : window.newerCursor;
      // From this end of what is here to the end of the log; then once around, from its other end.
      for (const around of [false, true]) {
        if (around) cursor = "";
        else if (cursor === "") continue;
        for (;;) {
          const page = await query({ cursor, backwards, pageSize: 1, text });
          if (page.entries[0]) return Number(page.entries[0].sequence);
          cursor = backwards ? page.olderCursor : page.newerCursor;
          if (!page.unfinished || cursor === "") break;
        }
      }
      return undefined;
    },
    [query],
  );
  const named = useRef(line);
  named.current = line;
  useEffect(() => {
    const fresh = new LogWindow();
    const controller = new AbortController();
    log.current = fresh;
    setLoaded(false);
    setEnded(false);
    setError(undefined);
    let frame = 0;
    const draw = (): void => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(drawn);
    };
    let leave = (): void => undefined;
    const start = async (): Promise<void> => {
      const page = await query({ backwards: true }, controller.signal);
      older.current = page.olderCursor;
      if (page.whole) {
        log.current = new PageWindow(pageOf(page));
        setCount(Number(page.entries.at(-1)?.sequence ?? 0n));
        setEnded(true);
      } else {
        fresh.append(page.entries.map(lineOfEntry));
      }
      const name = named.current;
      if (name !== "") await reach((item) => !isGap(item) && isNamed(item, name), Number(name.split(".")[2]));
      if (controller.signal.aborted) return;
      setLoaded(true);
      draw();
      if (untilUs !== undefined || page.whole) return;
      const topic = create(LogsTopicSchema, { runId, path, attempt, tail: TAIL });
      leave = follow({ case: "logs", value: topic }, ({ update }) => {
        if (update.case !== "logs") return;
        for (const lines of update.value.lines) appendLines(fresh, lines);
        setEnded(update.value.ended);
        draw();
      });
    };
    start().catch((problem) => {
      if (!controller.signal.aborted) setError(problem);
    });
    return () => {
      controller.abort();
      cancelAnimationFrame(frame);
      leave();
    };
  }, [runId, path, attempt, untilUs, query, reach, drawn]);
  const window = log.current;
  const whole = window instanceof PageWindow;
  return {
    items: useItems(window),
    total: window.total,
    ended,
    loaded,
    error,
    whole,
    count,
    hasOlder: (whole ? window.olderCursor : older.current) !== "",
    hasNewer: whole && window.newerCursor !== "",
    loadOlder,
    loadNewer,
    goTo,
    goToEnd,
    find,
  };
}

/** The items of a window, the same list until it changes. */
function useItems(window: Window): readonly Item[] {
  const kept = useRef<{ window: Window; version: unknown; items: readonly Item[] }>(undefined);
  const version = window instanceof PageWindow ? window.items() : window.version;
  if (kept.current?.window !== window || kept.current.version !== version) {
    kept.current = { window, version, items: window.items() };
  }
  return kept.current.items;
}

function appendLines(log: LogWindow, lines: LogLines): void {
  if (lines.key === undefined) return;
  const lease = { path: lines.key.path, attempt: lines.key.attempt, generation: Number(lines.key.generation) };
  if (lines.gap) log.missing(lease, Number(lines.gap.firstSequence), Number(lines.gap.lastSequence));
  log.append(linesOf(lines));
}
