/** Events of a history in words. */

import { statusLook } from "../../common/status";
import { clipped, counted } from "../../common/text";
import type { HistoryEvent } from "../../gen/kaonapi/run/v1/history_pb";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import type { StepError } from "../../gen/kaonapi/step/v1/step_pb";
import { boundText } from "../model/bound";

export interface EventLine {
  /** Name of the event's field, in words: "step ended". */
  readonly kind: string;
  readonly path: string;
  readonly text: string;
  /** The status that it brings, when it does. */
  readonly status: number | undefined;
}

type Kind = NonNullable<HistoryEvent["event"]["case"]>;

/** Kinds of events as the filter groups them, by the names that the API takes. */
export const GROUPS: Readonly<Record<string, readonly string[]>> = {
  Steps: ["step_became_ready", "step_leased", "step_serving", "step_ended"],
  Failures: ["step_retry_scheduled", "step_lease_lost", "deadline_missed", "command_refused"],
  Reports: ["step_reported"],
  Blocks: [
    "block_started",
    "cell_started",
    "block_ended",
    "phase_started",
    "pass_scheduled",
    "child_run_started",
    "locks_taken",
    "policies_bound",
  ],
  Commands: [
    "run_cancel_requested",
    "run_paused",
    "breakpoint_set",
    "breakpoint_reached",
    "breakpoint_passed",
    "run_resumed",
    "run_priority_changed",
    "blocks_reset",
    "definition_changed",
    "block_stop_requested",
    "block_marked",
    "gate_answered",
    "signal_received",
    "step_stop_requested",
  ],
  Run: ["run_submitted", "run_started", "run_ended"],
};

export function eventLine(history: HistoryEvent): EventLine {
  const { event } = history;
  if (event.case === undefined) {
    return {
      kind: "unknown",
      path: "",
      text: "An event of a newer version: this console does not know it.",
      status: undefined,
    };
  }
  const value = event.value as unknown as Fields;
  return {
    kind: words(event.case),
    path: value.path ?? value.block ?? value.scope ?? "",
    text: clipped(TEXTS[event.case]?.(value) ?? "", 1_000),
    status: statusOf(event.case, value),
  };
}

/** The fields of all events that are told. */
interface Fields {
  path?: string;
  block?: string;
  scope?: string;
  status?: Status;
  error?: StepError;
  [name: string]: unknown;
}

function words(kind: string): string {
  return kind.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

const BRINGS: Partial<Record<Kind, Status>> = {
  stepBecameReady: Status.READY,
  stepLeased: Status.RUNNING,
  stepServing: Status.SERVING,
  runStarted: Status.RUNNING,
  blockStarted: Status.RUNNING,
  cellStarted: Status.RUNNING,
  stepRetryScheduled: Status.FAILED,
  runPaused: Status.PAUSED,
};

function statusOf(kind: Kind, value: Fields): number | undefined {
  return BRINGS[kind] ?? (value.status || undefined);
}

function ended(value: Fields): string {
  const how = value.status ? statusLook(value.status).label.toLowerCase() : "";
  return value.error ? `${how}: ${value.error.type}: ${value.error.message}` : how;
}

function by(value: Fields): string {
  const who = value.requester || value.by || value.submitter;
  const why = value.reason || value.comment;
  return `${who ? ` by ${who}` : ""}${why ? `: ${why}` : ""}`;
}

function gateAnswer(value: Fields): string {
  if (value.runId) return `takes run ${value.runId}`;
  if (value.signal) return `signal ${value.signal}`;
  return value.approved ? "approved" : "rejected";
}

function started(value: Fields): string {
  const keys = value.keys as string[];
  if (keys.length > 0) return `takes way ${keys[0]}`;
  return Number(value.count) > 0 ? counted(Number(value.count), "item") : "";
}

function reported(value: Fields): string {
  const report = value.report as { case?: string; value?: { name?: string; value?: number; step?: bigint } };
  if (report.case !== "metric") return "checkpoint";
  return `${report.value?.name} = ${report.value?.value} at ${report.value?.step}`;
}

const TEXTS: Partial<Record<Kind, (value: Fields) => string>> = {
  runSubmitted: (value) => `${value.workflow}${value.origin ? ` by ${value.origin}` : by(value)}`,
  runEnded: ended,
  runCancelRequested: (value) => `asked to stop${by(value)}`,
  runPaused: (value) => `nothing new starts${by(value)}`,
  runResumed: (value) => `goes on${by(value)}`,
  breakpointSet: (value) => `${value.step} waits before it starts${by(value)}`,
  breakpointReached: () => "waits at a breakpoint",
  breakpointPassed: (value) => `${value.step} goes on${by(value)}`,
  runPriorityChanged: (value) => `priority ${value.priority}${by(value)}`,
  blockStarted: started,
  cellStarted: (value) => clipped(String(value.itemJson), 200),
  blockEnded: ended,
  stepBecameReady: (value) => `attempt ${value.attempt}, generation ${value.generation}`,
  stepLeased: (value) => `attempt ${value.attempt} at ${value.runnerId}${value.succession ? ", by succession" : ""}`,
  stepServing: (value) => `attempt ${value.attempt} serves what comes after it`,
  stepReported: reported,
  stepRetryScheduled: (value) =>
    `attempt ${value.attempt} failed: ${value.error?.type}: ${value.error?.message}. Another one follows.`,
  stepLeaseLost: (value) => `generation ${value.generation} ${String(value.reason).replaceAll("_", " ")}`,
  stepStopRequested: (value) => String(value.reason).replaceAll("_", " "),
  stepEnded: (value) => (value.memo ? `${ended(value)}, outputs of an equal execution` : ended(value)),
  blocksReset: (value) => `${value.cause} of ${(value.paths as string[]).slice(0, 5).join(", ")}${by(value)}`,
  definitionChanged: (value) =>
    `goes on with version ${String(value.toVersion).slice(0, 19)}, not ${String(value.fromVersion).slice(0, 19)}`,
  blockStopRequested: (value) => `${value.cause}${by(value)}`,
  blockMarked: (value) => `${ended(value)}${by(value)}`,
  phaseStarted: (value) => `hooks, the body ${ended(value)}`,
  passScheduled: (value) => `iteration ${value.number}`,
  gateAnswered: (value) => `${gateAnswer(value)}${by(value)}`,
  policiesBound: (value) => `gets ${boundText(value.valuesJson as Record<string, string>)}`,
  locksTaken: (value) => `holds ${(value.locks as string[]).join(", ")}`,
  childRunStarted: (value) =>
    `${value.continued ? "goes on with" : "starts"} run ${value.childRunId} of ${value.workflow}`,
  signalReceived: (value) => `${value.name} ${clipped(String(value.payloadJson), 200)}${by(value)}`,
  commandRefused: (value) => `${value.command}: ${value.problem}${by(value)}`,
  deadlineMissed: () => "has not ended by its deadline",
};
