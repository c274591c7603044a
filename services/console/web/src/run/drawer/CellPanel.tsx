import { useEffect } from "react";
import { StatusLabel, StatusMark } from "../../common/StatusMark";
import { ErrorState, LoadingState } from "../../common/states";
import { Duration } from "../../common/Time";
import { clipped, shown } from "../../common/text";
import { useRunPage } from "../context";
import { noCounts, worstOf } from "../model/counts";
import classes from "./Drawer.module.css";
import { Section, StepActions } from "./StepOverview";
import { useCell } from "./useStep";
import { WholeRun } from "./WholeRun";

/** What is inside of one cell or iteration: its steps and blocks, each a place to go to. */
export function CellPanel({ path }: { path: string }) {
  const { seq, go } = useRunPage();
  const cell = useCell(path);
  const view = cell.data?.view;
  const only = view && view.steps.length === 1 && view.blocks.length === 0 ? view.steps[0]?.path : undefined;
  useEffect(() => {
    // A cell of one step is that step.
    if (only !== undefined) go({ step: only }, { replace: true });
  }, [only, go]);
  if (cell.error && !cell.data)
    return <ErrorState error={cell.error} retry={() => void cell.refetch()} ways={<WholeRun />} />;
  if (view === undefined || only !== undefined) return <LoadingState label="Loading the cell" />;
  const parts = [...view.steps, ...view.blocks];
  const counts = noCounts();
  for (const part of parts) counts[part.status] = (counts[part.status] ?? 0) + 1;
  const status = worstOf(counts);
  return (
    <>
      <div className={classes.status}>
        <StatusLabel status={status} />
        {seq === undefined && <StepActions step={{ path, status }} />}
      </div>
      <div className={classes.content}>
        <Section title="Inside" count={parts.length}>
          <ul className={classes.cellList}>
            {parts.map((part) => (
              <li key={part.path}>
                <button type="button" onClick={() => go({ step: part.path })}>
                  <StatusMark status={part.status} size={13} />
                  <code>{shown(part.path.slice(path.length + 1))}</code>
                  {"startTime" in part && (
                    <span className={classes.dim}>
                      <Duration from={part.startTime} to={part.endTime} />
                    </span>
                  )}
                  <span className={classes.dim}>{shown(clipped(part.error?.message ?? "", 90))}</span>
                </button>
              </li>
            ))}
          </ul>
          {parts.length === 0 && <p className={classes.dim}>Nothing in it has begun.</p>}
        </Section>
      </div>
    </>
  );
}
