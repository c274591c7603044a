import type { LogLines } from "../gen/kaonapi/log/v1/log_pb";
import type { LogEntry, QueryLogsResponse } from "../gen/kaonapi/view/v1/logs_pb";
import type { Page } from "./pages";
import type { Line } from "./window";

/** Characters of a line that are shown. */
const LONGEST = 16_384;

/** What is asked for: lines before a moment, where one is shown. */
export function filterOf(runId: string, path: string, attempt: number, untilUs: number | undefined) {
  return { runId, path, attempt, untilUs: BigInt(untilUs ?? 0) };
}

/** Returns lines as they came live. */
export function linesOf(lines: LogLines): Line[] {
  const { path = "", attempt = 0, generation = 0n } = lines.key ?? {};
  return lines.lines.map((line) => ({
    key: `${path}@${attempt}.${generation}:${line.sequence}`,
    path,
    attempt,
    generation: Number(generation),
    sequence: Number(line.sequence),
    timeUs: Number(line.timeUs),
    stream: line.stream,
    text: line.text.slice(0, LONGEST),
    continues: line.continues,
    cutBytes: line.text.length > LONGEST ? Math.max(Number(line.sizeBytes), line.text.length) : Number(line.sizeBytes),
  }));
}

/** Returns a line of a page. */
export function lineOfEntry(entry: LogEntry): Line {
  return {
    key: `${entry.path}@${entry.attempt}.${entry.generation}:${entry.sequence}`,
    path: entry.path,
    attempt: entry.attempt,
    generation: Number(entry.generation),
    sequence: Number(entry.sequence),
    timeUs: Number(entry.timeUs),
    stream: entry.stream,
    text: entry.text,
    cursor: entry.cursor,
    continues: entry.continues,
    cutBytes: Number(entry.cutBytes),
    missingBefore: Number(entry.missingBefore),
  };
}

/** Returns a page of a whole log. */
export function pageOf(response: QueryLogsResponse): Page {
  return {
    lines: response.entries.map(lineOfEntry),
    olderCursor: response.olderCursor,
    newerCursor: response.atEnd ? "" : response.newerCursor,
  };
}
