import { Button, Textarea } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { faultOf } from "../api/fault";
import { runs as api } from "../api/runs";
import { Dialog } from "../common/Dialog";
import { StatusMark } from "../common/StatusMark";
import { counted, shown } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import classes from "./BulkBar.module.css";
import { ACTIONS, type Action, eachOf, planOf } from "./bulk";

/** What became of one run: undefined while it is not done. */
type Outcomes = Readonly<Record<string, string | undefined>>;

interface DialogProps {
  action: Action;
  chosen: readonly Run[];
  onClose: () => void;
}

/** Shows exactly which runs are meant, and then what became of each. */
export function BulkDialog({ action, chosen, onClose }: DialogProps) {
  // The runs as they stood when it was asked: a list that moves meanwhile is not what was agreed to.
  const [plan] = useState(() => planOf(action, chosen));
  const [keys] = useState(() => new Map(plan.apply.map(({ runId }) => [runId, crypto.randomUUID()])));
  const [reason, setReason] = useState("");
  const [outcomes, setOutcomes] = useState<Outcomes>();
  const [working, setWorking] = useState(false);
  const client = useQueryClient();
  const { label, effect } = ACTIONS[action];
  const failed = plan.apply.filter(({ runId }) => outcomes?.[runId]);
  const start = async () => {
    setWorking(true);
    setOutcomes({});
    await eachOf(
      plan.apply,
      4,
      ({ runId }) => send(action, runId, reason, keys.get(runId)!),
      ({ runId }, error) =>
        setOutcomes((old) => ({ ...old, [runId]: error === undefined ? "" : faultOf(error).message })),
    );
    setWorking(false);
    void client.invalidateQueries({ queryKey: ["runs"] });
  };
  const done = outcomes !== undefined && !working;
  return (
    <Dialog onClose={onClose} title={`${label} ${counted(plan.apply.length, "run")}?`} size="lg">
      <p className={classes.effect}>{effect}</p>
      <RunIds runs={plan.apply} outcomes={outcomes} />
      {plan.leave.length > 0 && (
        <details className={classes.left}>
          <summary>{counted(plan.leave.length, "chosen run")} left out</summary>
          <ul>
            {plan.leave.map(({ run, reason: why }) => (
              <li key={run.runId}>
                <code>{run.runId}</code> {why}
              </li>
            ))}
          </ul>
        </details>
      )}
      {action !== "rerun" && !outcomes && (
        <Textarea
          label="Reason"
          description="Kept in the history of each run; may be empty."
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
          autosize
          minRows={1}
          maxRows={4}
          data-autofocus
        />
      )}
      {done && (
        <p role="status" className={classes.effect}>
          {failed.length === 0
            ? `Done for ${counted(plan.apply.length, "run")}.`
            : `${counted(failed.length, "run")} refused it; the reasons stand beside the ids.`}
        </p>
      )}
      <div className={classes.actions}>
        <Button variant="default" onClick={onClose}>
          {done ? "Close" : "Leave it"}
        </Button>
        {!done && (
          <Button color={action === "cancel" ? "red" : undefined} loading={working} onClick={() => void start()}>
            {label} {counted(plan.apply.length, "run")}
          </Button>
        )}
      </div>
    </Dialog>
  );
}

function send(action: Action, runId: string, reason: string, idempotencyKey: string): Promise<unknown> {
  if (action === "cancel") return api.cancelRun({ runId, reason });
  if (action === "retry") return api.retryRun({ runId, reason });
  return api.rerunRun({ runId, idempotencyKey });
}

function RunIds({ runs, outcomes }: { runs: readonly Run[]; outcomes: Outcomes | undefined }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
    <ul className={classes.ids} tabIndex={0} aria-label="The runs that are meant">
      {runs.map((run) => {
        const outcome = outcomes?.[run.runId];
        return (
          <li key={run.runId}>
            <StatusMark status={run.status} />
            <code>{run.runId}</code>
            <span className={classes.workflow}>{shown(run.workflow)}</span>
            {outcome === "" && <span className={classes.good}>done</span>}
            {outcome && <span className={classes.bad}>{shown(outcome)}</span>}
          </li>
        );
      })}
    </ul>
  );
}
