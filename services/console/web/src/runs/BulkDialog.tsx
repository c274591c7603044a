import { Button, Textarea } from "@mantine/core";
import { useState } from "react";
import { Dialog } from "../common/Dialog";
import { counted, formatCount } from "../common/text";
import classes from "./BulkDialog.module.css";
import { BulkRuns } from "./BulkRuns";
import { Progress, tallyOf } from "./BulkWork";
import { ACTIONS } from "./bulk";
import type { Bulk } from "./bulkStore";
import { close, start, stop } from "./bulkWork";

/** Shows exactly which runs are meant, and then what becomes of each. */
export function BulkDialog({ bulk }: { bulk: Bulk }) {
  const [reason, setReason] = useState("");
  const { action, apply, phase } = bulk;
  const { label, effect, going } = ACTIONS[action];
  const many = counted(apply.length, "run");
  return (
    <Dialog
      onClose={close}
      title={phase === "asked" ? `${label} ${many}?` : phase === "going" ? `${going} ${many}` : `${label} ${many}`}
      size="lg"
    >
      {phase === "asked" ? <p className={classes.effect}>{effect}</p> : <State bulk={bulk} />}
      <BulkRuns bulk={bulk} />
      {phase === "asked" && action !== "rerun" && (
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
      <div className={classes.actions}>
        {phase === "going" && (
          <>
            <span className={classes.hint}>It goes on when this is closed.</span>
            <Button variant="default" onClick={stop}>
              Stop here
            </Button>
          </>
        )}
        <Button variant="default" onClick={close}>
          {phase === "asked" ? "Leave it" : "Close"}
        </Button>
        <Send bulk={bulk} reason={reason} />
      </div>
    </Dialog>
  );
}

/** How far it has come, or how it ended. */
function State({ bulk }: { bulk: Bulk }) {
  const { done, failed } = tallyOf(bulk);
  return (
    <div className={classes.state}>
      <p role={bulk.phase === "ended" ? "status" : undefined} className={classes.effect}>
        {bulk.phase === "ended" ? endText(bulk) : `${formatCount(done + failed)} of ${formatCount(bulk.apply.length)}`}
      </p>
      <Progress bulk={bulk} />
    </div>
  );
}

function endText(bulk: Bulk): string {
  const { done, failed } = tallyOf(bulk);
  const left = bulk.apply.length - done - failed;
  const parts = [`Done for ${counted(done, "run")}.`];
  if (failed > 0) parts.push(`${counted(failed, "run")} failed; the reasons stand beside the ids.`);
  if (left > 0) parts.push(`${counted(left, "run was", "runs were")} not sent.`);
  return parts.join(" ");
}

function Send({ bulk, reason }: { bulk: Bulk; reason: string }) {
  const { label } = ACTIONS[bulk.action];
  const left = bulk.apply.length - tallyOf(bulk).done;
  if (bulk.phase === "going") return null;
  if (bulk.phase === "asked")
    return (
      <Button color={bulk.action === "cancel" ? "red" : undefined} onClick={() => void start(reason)}>
        {label} {counted(left, "run")}
      </Button>
    );
  if (left === 0) return null;
  return (
    <Button onClick={() => void start(reason)}>
      Try {left === 1 ? "that one" : `those ${formatCount(left)}`} again
    </Button>
  );
}
