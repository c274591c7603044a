import { Button, CloseButton } from "@mantine/core";
import { useStore } from "../common/store";
import { counted, formatCount } from "../common/text";
import { BulkDialog } from "./BulkDialog";
import classes from "./BulkWork.module.css";
import { ACTIONS } from "./bulk";
import { type Bulk, bulkStore } from "./bulkStore";
import { close, reopen } from "./bulkWork";

/** An action on many runs: its dialog, or how far it has come while somebody does something else. */
export function BulkWork() {
  const bulk = useStore(bulkStore);
  if (bulk === undefined) return null;
  return bulk.open ? <BulkDialog bulk={bulk} /> : <Strip bulk={bulk} />;
}

/** How many runs are done, and how many failed. */
export function tallyOf({ outcomes }: Bulk): { done: number; failed: number } {
  const tally = { done: 0, failed: 0 };
  for (const { kind } of outcomes.values()) {
    if (kind === "done") tally.done++;
    else if (kind !== "sending") tally.failed++;
  }
  return tally;
}

/** How far it has come, as a bar. */
export function Progress({ bulk }: { bulk: Bulk }) {
  const { done, failed } = tallyOf(bulk);
  const all = bulk.apply.length;
  const share = (count: number) => ({ width: `${(100 * count) / all}%` });
  return (
    <div
      className={classes.track}
      role="progressbar"
      aria-label={ACTIONS[bulk.action].going}
      aria-valuemax={all}
      aria-valuenow={done + failed}
      aria-valuetext={`${formatCount(done)} of ${counted(all, "run")} done, ${formatCount(failed)} failed`}
    >
      <span className={classes.done} style={share(done)} />
      <span className={classes.failed} style={share(failed)} />
    </div>
  );
}

function Strip({ bulk }: { bulk: Bulk }) {
  const { done, failed } = tallyOf(bulk);
  const { going, done: over } = ACTIONS[bulk.action];
  const ended = bulk.phase === "ended";
  const left = bulk.apply.length - done - failed;
  return (
    <section className={classes.strip} aria-label="An action on many runs">
      <div className={classes.line}>
        <b>{ended ? `${over} ${counted(done, "run")}` : `${going} ${counted(bulk.apply.length, "run")}`}</b>
        <span className={classes.tally}>
          {!ended && `${formatCount(done)} done`}
          {failed > 0 && <span className={classes.bad}>{formatCount(failed)} failed</span>}
          {ended && left > 0 && <span>{formatCount(left)} not sent</span>}
        </span>
        <Button variant="subtle" onClick={reopen}>
          Show
        </Button>
        {ended && <CloseButton size="sm" aria-label="Dismiss" onClick={close} />}
      </div>
      <Progress bulk={bulk} />
    </section>
  );
}
