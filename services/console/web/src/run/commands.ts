/** What people ask of a run, and what to say about what became of it. */

import { runs } from "../api/runs";
import { statusLook } from "../common/status";
import { counted } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import type { CommandPlan } from "../gen/kaonapi/run/v1/run_service_pb";

/** What a command did, in words: how the run stands now, and whether its owner has obeyed yet. */
export function outcomeText(done: string, run: Run | undefined): string {
  if (run === undefined) return `${done}.`;
  const waiting = run.commandsWaiting > 0 ? " The run's owner has not applied it yet." : "";
  return `${done}. The run is now: ${statusLook(run.status).label.toLowerCase()}.${waiting}`;
}

/** What a command would do, in words. */
export function planText(plan: CommandPlan | undefined): string {
  if (plan === undefined) return "";
  if (plan.refusal !== "") return `It would be refused: ${plan.refusal}`;
  const parts: string[] = [];
  const resets = Number(plan.resetsTotal);
  if (resets > 0) parts.push(`${counted(resets, "step or block", "steps and blocks")} would begin anew`);
  const again = Object.values(plan.steps).reduce((total, count) => total + Number(count), 0);
  if (again > 0) parts.push(`${counted(again, "step that has run", "steps that have run")} would run again`);
  parts.push(`${counted(Number(plan.kept), "step keeps its outputs", "steps keep their outputs")}`);
  if (plan.continued.length > 0) parts.push(`${counted(plan.continued.length, "sub-workflow run")} would go on`);
  return `${parts.join(", ")}.`;
}

/** A key of its own for each time that somebody presses a button: sent twice it counts once. */
export function idempotencyKey(): string {
  return `console-${crypto.randomUUID()}`;
}

/** Paths that are sent in one go, each as a command of its own; stops at the first that fails and says how far it came. */
export async function forEachPath(
  paths: readonly string[],
  send: (path: string) => Promise<unknown>,
  progress: (done: number) => void,
): Promise<{ done: number; error: unknown }> {
  let done = 0;
  for (const path of paths) {
    try {
      await send(path);
    } catch (error) {
      return { done, error };
    }
    progress(++done);
  }
  return { done, error: undefined };
}

export const commands = {
  cancel: (runId: string, reason: string, path = "", skip = false, force = false) =>
    runs.cancelRun({ runId, reason, path, skip, force }),
  pause: (runId: string, reason: string) => runs.pauseRun({ runId, reason }),
  resume: (runId: string, reason: string) => runs.resumeRun({ runId, reason }),
  break: (runId: string, step: string, reason: string) => runs.setBreakpoint({ runId, step, reason }),
  continue: (runId: string, step: string, reason: string) => runs.passBreakpoint({ runId, step, reason }),
  retry: (runId: string, path: string, reason: string, dryRun = false) =>
    runs.retryRun({ runId, path, reason, dryRun }),
  restart: (runId: string, path: string, reason: string, dryRun = false) =>
    runs.restartRun({ runId, path, reason, dryRun }),
  /** An empty version is that of the run. */
  fork: (runId: string, seq: number, version: string, key: string, dryRun = false) =>
    runs.forkRun({ runId, seq: BigInt(seq), version, idempotencyKey: dryRun ? "" : key, dryRun }),
  priority: (runId: string, priority: number) => runs.setRunPriority({ runId, priority }),
  answer: (
    runId: string,
    path: string,
    approved: boolean,
    comment: string,
    valuesJson: Readonly<Record<string, string>> = {},
  ) => runs.answerGate({ runId, path, approved, comment, valuesJson }),
  rerun: (runId: string, key: string) => runs.rerunRun({ runId, idempotencyKey: key }),
  signal: (runId: string, name: string, payloadJson: string) => runs.signalRun({ runId, name, payloadJson }),
};
