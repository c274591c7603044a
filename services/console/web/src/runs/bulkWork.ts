/** Carries out what was asked of many runs, whatever page is shown meanwhile. */

import { faultOf } from "../api/fault";
import { queryClient } from "../api/query";
import { runs as api } from "../api/runs";
import { statusLook } from "../common/status";
import { sentence } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import { type Action, eachOf, planOf } from "./bulk";
import { type Bulk, bulkStore, type Outcome } from "./bulkStore";

/** So many calls are under way at once. */
export const WIDTH = 10;

/** What does not change while a bulk goes on: a key for each run, under which trying again makes nothing twice. */
let keys: ReadonlyMap<string, string> = new Map();
let reason = "";
let stopped = false;

/** Begins to ask. */
export function ask(action: Action, chosen: readonly Run[]): void {
  const { apply, leave } = planOf(action, chosen);
  keys = new Map(apply.map(({ runId }) => [runId, `console-${crypto.randomUUID()}`]));
  bulkStore.set({ action, apply, leave, phase: "asked", outcomes: new Map(), open: true });
}

/** Hides the dialog. What goes on goes on; what has ended, or was never begun, is forgotten. */
export function close(): void {
  const now = bulkStore.get();
  bulkStore.set(now?.phase === "going" ? { ...now, open: false } : undefined);
}

/** Shows the dialog again. */
export function reopen(): void {
  change(() => ({ open: true }));
}

/** Sends nothing more. What is under way is waited for. */
export function stop(): void {
  stopped = true;
}

/** Does it for all runs that are not done: all at first, later those that failed and those that were not sent. */
export async function start(why: string): Promise<void> {
  const bulk = bulkStore.get();
  if (bulk === undefined || bulk.phase === "going") return;
  if (bulk.phase === "asked") reason = why;
  stopped = false;
  const before = bulk.outcomes;
  const rest = bulk.apply.filter(({ runId }) => before.get(runId)?.kind !== "done");
  change(({ outcomes }) => ({
    phase: "going",
    outcomes: new Map([...outcomes].filter(([, { kind }]) => kind === "done")),
  }));
  addEventListener("beforeunload", hold);
  try {
    await eachOf(
      rest,
      WIDTH,
      (run) => {
        note(run, { kind: "sending", text: "" });
        return send(bulk.action, run, before.get(run.runId)?.kind === "lost");
      },
      (run, outcome, error) => note(run, outcome ?? failure(error)),
      () => stopped,
    );
  } finally {
    removeEventListener("beforeunload", hold);
    change(() => ({ phase: "ended" }));
    void queryClient.invalidateQueries({ queryKey: ["runs"] });
  }
}

function change(how: (bulk: Bulk) => Partial<Bulk>): void {
  const now = bulkStore.get();
  if (now !== undefined) bulkStore.set({ ...now, ...how(now) });
}

function note(run: Run, outcome: Outcome): void {
  change(({ outcomes }) => ({ outcomes: new Map(outcomes).set(run.runId, outcome) }));
}

/** The browser asks before it closes the page, with which the rest would be lost. */
function hold(event: Event): void {
  event.preventDefault();
}

function failure(error: unknown): Outcome {
  const { kind, title, message } = faultOf(error);
  return kind === "away"
    ? { kind: "lost", text: `${title}: it may have been done or not` }
    : { kind: "refused", text: sentence(message) };
}

/** `lost`: the call before got no answer. A retry carries no key, so that the run itself must tell whether it came to it. */
async function send(action: Action, run: Run, lost: boolean): Promise<Outcome> {
  const { runId } = run;
  if (action === "rerun") {
    const { run: made } = await api.rerunRun({ runId, idempotencyKey: keys.get(runId)! });
    return { kind: "done", text: "", made: made?.runId ?? "" };
  }
  if (action === "retry" && lost) {
    const { run: now } = await api.getRun({ runId });
    if (now !== undefined && (now.lastSeq !== run.lastSeq || now.commandsWaiting > 0))
      return { kind: "done", text: `not sent again: the run has gone on since, and ${standing(now)}` };
  }
  const answer = action === "cancel" ? await api.cancelRun({ runId, reason }) : await api.retryRun({ runId, reason });
  return { kind: "done", text: answer.run === undefined ? "" : standing(answer.run) };
}

function standing(run: Run): string {
  const waiting = run.commandsWaiting > 0 ? ", its owner has not applied it yet" : "";
  return `is now ${statusLook(run.status).label.toLowerCase()}${waiting}`;
}
