import { create } from "@bufbuild/protobuf";
import { useCallback, useEffect, useRef, useState } from "react";
import { follow } from "../api/live/live";
import { views } from "../api/views";
import type { LogLines } from "../gen/kaonapi/log/v1/log_pb";
import type { LogEntry } from "../gen/kaonapi/view/v1/logs_pb";
import { LogsTopicSchema } from "../gen/kaonapi/view/v1/watch_pb";
import { type Line, LogWindow } from "./window";

const TAIL = 2_000;
const PAGE = 2_000;

export interface Log {
  readonly log: LogWindow;
  /** Changes with every line that comes. */
  readonly version: number;
  readonly ended: boolean;
  readonly loaded: boolean;
  readonly error: unknown;
  /** Where the lines before those that are here begin; "" when these are the first. */
  readonly olderCursor: string;
  readonly loadOlder: () => Promise<void>;
}

/**
 * The newest lines of a step, live, or those up to a moment; older ones on demand. Neither the whole log nor a long one is ever in memory.
 *
 * @param untilUs - microseconds since the epoch; undefined follows what is printed.
 */
export function useLog(runId: string, path: string, attempt: number, untilUs: number | undefined): Log {
  const log = useRef(new LogWindow());
  const [version, setVersion] = useState(0);
  const [ended, setEnded] = useState(false);
  const [loaded, setLoaded] = useState(false);
  const [error, setError] = useState<unknown>();
  const [olderCursor, setOlder] = useState("");
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
      frame = requestAnimationFrame(() => setVersion((before) => before + 1));
    };
    let leave = (): void => undefined;
    const start = async (): Promise<void> => {
      const filter = filterOf(runId, path, attempt, untilUs);
      const page = await views.queryLogs({ filter, backwards: true, pageSize: TAIL }, { signal: controller.signal });
      fresh.append(page.entries.map(lineOfEntry));
      setOlder(page.olderCursor);
      setLoaded(true);
      draw();
      if (untilUs !== undefined) return;
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
  }, [runId, path, attempt, untilUs]);
  const loadOlder = useCallback(async () => {
    const filter = filterOf(runId, path, attempt, untilUs);
    const page = await views.queryLogs({ filter, cursor: olderCursor, backwards: true, pageSize: PAGE });
    log.current.prepend(page.entries.map(lineOfEntry));
    setOlder(page.olderCursor);
    setVersion((before) => before + 1);
  }, [runId, path, attempt, untilUs, olderCursor]);
  return { log: log.current, version, ended, loaded, error, olderCursor, loadOlder };
}

/** What is asked for: lines before a moment, where one is shown. */
export function filterOf(runId: string, path: string, attempt: number, untilUs: number | undefined) {
  return { runId, path, attempt, untilUs: BigInt(untilUs ?? 0) };
}

function appendLines(log: LogWindow, lines: LogLines): void {
  const key = lines.key;
  if (key === undefined) return;
  const lease = { path: key.path, attempt: key.attempt, generation: Number(key.generation) };
  if (lines.gap) log.missing(lease, Number(lines.gap.firstSequence), Number(lines.gap.lastSequence));
  log.append(
    lines.lines.map((line) => ({
      ...lease,
      key: `${lease.path}@${lease.attempt}.${lease.generation}:${line.sequence}`,
      sequence: Number(line.sequence),
      timeUs: Number(line.timeUs),
      stream: line.stream,
      text: line.text,
    })),
  );
}

export function lineOfEntry(entry: LogEntry): Line {
  const cut = entry.cutBytes > 0n ? ` … (${entry.cutBytes} bytes in all)` : "";
  return {
    key: `${entry.path}@${entry.attempt}.${entry.generation}:${entry.sequence}`,
    path: entry.path,
    attempt: entry.attempt,
    generation: Number(entry.generation),
    sequence: Number(entry.sequence),
    timeUs: Number(entry.timeUs),
    stream: entry.stream,
    text: entry.text + cut,
  };
}
