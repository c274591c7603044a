import { Button } from "@mantine/core";
import { IconCircleCheck } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useMemo, useState } from "react";
import { Commanding } from "../common/Commanding";
import { LinkButton } from "../common/LinkButton";
import { Page } from "../common/Page";
import { StatusMark } from "../common/StatusMark";
import { ErrorState, LoadingState } from "../common/states";
import { Duration, Time } from "../common/Time";
import { counted, formatCount, shortId, shown } from "../common/text";
import { AnswerGate } from "../gates/AnswerGate";
import type { Approval } from "../gates/gates";
import { useApprovals } from "../gates/useApprovals";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import { Status } from "../gen/kaonapi/run/v1/run_pb";
import { useBulkBusy } from "../runs/bulkStore";
import { useRuns } from "../runs/useRuns";
import { type FailureGroup, groupFailures, groupLate, stripsOf } from "./failures";
import classes from "./OverviewPage.module.css";
import { Pulse } from "./Pulse";
import { Strips } from "./Strips";

const ACTIVE = ["PENDING", "RUNNING", "PAUSED", "CANCELLING"];
const ACTIVE_SHOWN = 100;
/** As many runs as a strip shows of one workflow. */
const STRIP = 24;

/** Shows what needs somebody, and how the system does. */
export function OverviewPage() {
  const newest = useRuns({}, 300);
  const active = useRuns({ status: ACTIVE }, ACTIVE_SHOWN);
  const failed = useRuns({ status: ["FAILED", "TIMED_OUT"], since: "24h" });
  const late = useRuns({ status: ACTIVE, late: "yes" });
  const { approvals, more, loading } = useApprovals(active.changed);
  const failures = useMemo(() => groupFailures(failed.runs), [failed.runs]);
  const strips = useMemo(() => stripsOf(newest.runs, STRIP), [newest.runs]);
  const refused = [newest, active, failed, late].filter((list) => list.error);
  const retry = () => {
    for (const list of refused) list.retry();
  };
  // The title stands there whatever comes: nothing moves when it does.
  if (refused.length > 0)
    return (
      <Page title="Overview">
        <ErrorState error={refused[0]?.error} retry={retry} />
      </Page>
    );
  if (newest.loading || active.loading || failed.loading)
    return (
      <Page title="Overview">
        <LoadingState label="Loading the overview" />
      </Page>
    );
  return (
    <Page title="Overview">
      <div className={classes.page}>
        <Pulse changed={newest.changed} />
        <div className={classes.columns}>
          <Needs
            kinds={[
              approvals.map((approval) => (
                <ApprovalRow key={`${approval.run.runId} ${approval.gate.path}`} approval={approval} />
              )),
              groupLate(late.runs).map((group) => <LateRow key={group.workflow} {...group} />),
              failures.map((group) => <FailureRow key={`${group.workflow} ${group.type}`} group={group} />),
            ]}
            loading={loading}
            partly={more}
          />
          <ActiveRuns runs={active.runs} more={active.hasMore} />
        </div>
        <Strips strips={strips} />
      </div>
    </Page>
  );
}

/** Of each kind, more than these are shown when somebody asks for them: many of one kind hide none of another. */
const SHOWN = 5;

interface NeedsProps {
  kinds: readonly (readonly ReactNode[])[];
  loading: boolean;
  /** More approvals wait than are told. */
  partly: boolean;
}

function Needs({ kinds, loading, partly }: NeedsProps) {
  const [all, setAll] = useState(false);
  const total = kinds.flat().length;
  const rows = kinds.flatMap((rows) => (all ? rows : rows.slice(0, SHOWN)));
  return (
    <section className={classes.section} aria-labelledby="needs">
      <h2 id="needs">
        Needs you <span className={classes.count}>{total > 0 && total}</span>
      </h2>
      {total === 0 && !loading && (
        <p className={classes.calm}>
          <IconCircleCheck size={18} stroke={1.5} aria-hidden="true" />
          Nothing waits for you: no approval, no failure of the last 24 hours, no late run.
        </p>
      )}
      <ul className={classes.needs}>{rows}</ul>
      {rows.length < total && (
        <button type="button" className={classes.all} onClick={() => setAll(true)}>
          Show {formatCount(total - rows.length)} more
        </button>
      )}
      {partly && <p className={classes.hint}>More approvals wait: those of the newest runs are here.</p>}
    </section>
  );
}

function ApprovalRow({ approval }: { approval: Approval }) {
  const { run, gate } = approval;
  return (
    <li className={classes.need} data-kind="waiting">
      <StatusMark status={Status.WAITING} size={18} />
      <div className={classes.what}>
        <Link to="/runs/$runId" params={{ runId: run.runId }} className={classes.title}>
          {shown(gate.message) || "Approval"}
        </Link>
        <span className={classes.detail}>
          {shown(run.workflow)} <code>{shortId(run.runId)}</code> waits at <code>{shown(gate.path)}</code>
          {gate.dueTime && (
            <>
              {" until "}
              <Time at={gate.dueTime} format="short" />
            </>
          )}
        </span>
      </div>
      <AnswerGate approval={approval} />
    </li>
  );
}

function LateRow({ workflow, runs }: { workflow: string; runs: readonly Run[] }) {
  const first = runs[0]!;
  return (
    <li className={classes.need} data-kind="running">
      <StatusMark status={first.status} size={18} />
      <div className={classes.what}>
        <Link to="/runs/$runId" params={{ runId: first.runId }} className={classes.title}>
          {shown(workflow)}: {runs.length === 1 ? "a run is late" : `${formatCount(runs.length)} runs are late`}
        </Link>
        <span className={classes.detail}>
          <code>{shortId(first.runId)}</code> has been going for <Duration from={first.startTime} to={first.endTime} />,
          past its deadline
        </span>
      </div>
      {runs.length > 1 && (
        <LinkButton variant="default" to="/runs" search={{ workflow, status: ACTIVE, late: "yes" }}>
          Show all
        </LinkButton>
      )}
    </li>
  );
}

function FailureRow({ group }: { group: FailureGroup }) {
  const busy = useBulkBusy();
  const newest = group.runs[0]!;
  return (
    <li className={classes.need} data-kind="failed">
      <StatusMark status={group.quarantined ? Status.QUARANTINED : newest.status} size={18} />
      <div className={classes.what}>
        <Link to="/runs/$runId" params={{ runId: newest.runId }} className={classes.title}>
          {shown(group.workflow)} {group.runs.length === 1 ? "failed" : `failed ${group.runs.length} times`}
          {group.quarantined && ": a step was quarantined"}
        </Link>
        <span className={classes.detail}>
          <span className={classes.error}>
            <code>{shown(group.type)}</code> {shown(group.message)}
          </span>
        </span>
      </div>
      <span className={classes.when}>
        <Time at={newest.endTime} format="ago" />
      </span>
      <div className={classes.buttons}>
        {group.runs.length > 1 && (
          <LinkButton
            variant="default"
            to="/runs"
            search={{ workflow: group.workflow, status: ["FAILED", "TIMED_OUT"], since: "24h" }}
          >
            Show all
          </LinkButton>
        )}
        <Commanding command="RetryRun" why={busy}>
          <Button variant="default" onClick={() => void retryAll(group.runs)}>
            Retry{group.runs.length > 1 && ` ${group.runs.length}`}
          </Button>
        </Commanding>
      </div>
    </li>
  );
}

/** Asks first; what it needs for that is loaded now. */
async function retryAll(runs: readonly Run[]): Promise<void> {
  const { ask } = await import("../runs/bulkWork");
  ask("retry", runs);
}

function ActiveRuns({ runs, more }: { runs: readonly Run[]; more: boolean }) {
  const most = 12;
  return (
    <section className={classes.section} aria-labelledby="active">
      <h2 id="active">
        Going on <span className={classes.count}>{runs.length > 0 && `${runs.length}${more ? "+" : ""}`}</span>
      </h2>
      {runs.length === 0 && <p className={classes.calm}>No run is active.</p>}
      <ul className={classes.active}>
        {runs.slice(0, most).map((run) => (
          <li key={run.runId}>
            <Link to="/runs/$runId" params={{ runId: run.runId }}>
              <StatusMark status={run.status} />
              <span className={classes.name}>{shown(run.workflow)}</span>
              <code>{shortId(run.runId)}</code>
              <span className={classes.progress}>
                {run.stepsSucceeded}/{run.stepsTotal}
              </span>
              <span className={classes.took}>
                <Duration from={run.startTime} to={run.endTime} />
              </span>
            </Link>
          </li>
        ))}
      </ul>
      {runs.length > most && (
        <Link to="/runs" search={{ status: ACTIVE }} className={classes.all}>
          {more ? "All active runs" : counted(runs.length - most, "more run")}
        </Link>
      )}
    </section>
  );
}
