import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Badge, Popover, UnstyledButton, VisuallyHidden } from "@mantine/core";
import { IconGitFork } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { memo, type ReactNode, useMemo } from "react";
import { CopyButton } from "../../common/CopyButton";
import { StatusLabel, StatusMark } from "../../common/StatusMark";
import { statusLook } from "../../common/status";
import { Duration, Time } from "../../common/Time";
import { clipped, counted, formatCount, makerText, shortVersion, shown } from "../../common/text";
import { type Run, Status } from "../../gen/kaonapi/run/v1/run_pb";
import type { RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { useRunPage } from "../context";
import { addCounts, countsOf, noCounts, sum } from "../model/counts";
import { StatusBar, StatusLegend } from "../StatusBar";
import { Actions } from "./Actions";
import { Proof } from "./Proof";
import classes from "./RunHeader.module.css";

/** What run this is, how it stands, and what can be done about it. */
export function RunHeader() {
  const { view, live, seq } = useRunPage();
  const run = view.run as Run;
  const counts = useStepCounts(view);
  const succeeded = run.stepsSucceeded;
  return (
    <header className={classes.header}>
      <div className={classes.top}>
        <nav className={classes.crumbs} aria-label="Where this is">
          <Link to="/runs">Runs</Link>
          <span aria-hidden="true">/</span>
          {/* On a narrow page the title below says the same. */}
          <span className={classes.middle}>
            <Link to="/runs" search={{ workflow: run.workflow } as never}>
              {shown(run.workflow)}
            </Link>
            <span aria-hidden="true">/</span>
          </span>
          <RunId id={run.runId} />
        </nav>
        <div className={classes.actions}>
          <Proof runId={run.runId} lastSeq={Number(live.run?.lastSeq ?? 0n)} />
          <Actions status={live.run?.status ?? 0} />
        </div>
      </div>
      <div className={classes.title}>
        <h1>{shown(run.workflow)}</h1>
        <span className={classes.status} data-tone={statusLook(run.status).tone}>
          <StatusLabel status={run.status} size={14} still />
        </span>
        {seq !== undefined && <span className={classes.past}>as it was at event {seq}</span>}
        {run.late && (
          <Badge color="red" variant="light" size="sm">
            Late
          </Badge>
        )}
      </div>
      <Facts run={run} until={seq === undefined ? undefined : timestampFromMs(Number(view.timeUs) / 1000)} />
      {run.error && (
        <p className={classes.error} role="alert">
          <b>{shown(run.error.type)}</b> {shown(clipped(run.error.message, 600))}
        </p>
      )}
      {seq === undefined && <Asked view={view} />}
      <div className={classes.progress}>
        <StatusBar counts={counts} />
        <div className={classes.counts}>
          <span className={classes.total}>
            {formatCount(succeeded)} of {counted(sum(counts), "step")} succeeded
          </span>
          <StatusLegend counts={counts} />
        </div>
      </div>
    </header>
  );
}

/** What the run waits for somebody to answer. */
function Asked({ view }: { view: RunView }) {
  const { go } = useRunPage();
  const gates = view.blocks.filter((block) => block.status === Status.WAITING && block.gate === "approval");
  if (gates.length === 0) return null;
  return (
    <div className={classes.asked}>
      {gates.slice(0, 3).map((gate) => (
        <UnstyledButton key={gate.path} onClick={() => go({ step: gate.path, tab: "graph" })}>
          <StatusMark status={Status.WAITING} size={14} labelled={false} />
          <b>{shown(gate.path)}</b>
          <span>{shown(clipped(gate.message || "waits for an answer", 160))}</span>
          <em>Answer</em>
        </UnstyledButton>
      ))}
      {gates.length > 3 && <span>and {counted(gates.length - 3, "more gate waits", "more gates wait")}</span>}
    </div>
  );
}

/** Steps by status, those in foreach cells counted. */
function useStepCounts(view: RunView) {
  return useMemo(() => {
    const counts = noCounts();
    for (const step of view.steps) counts[step.status] = (counts[step.status] ?? 0) + 1;
    for (const folded of view.folded) if (folded.kind === "step") addCounts(counts, countsOf(folded.counts));
    return counts;
  }, [view]);
}

const RunId = memo(function RunId({ id }: { id: string }) {
  return (
    <span className={classes.id}>
      <code>{id}</code>
      <CopyButton text={id} label="Copy the run's id" />
    </span>
  );
});

function Facts({ run, until }: { run: Run; until: Timestamp | undefined }) {
  return (
    <dl className={classes.facts}>
      <Fact name="Version">
        <code title={run.version}>{shortVersion(run.version)}</code>
      </Fact>
      <Fact name="Submitted">
        <Time at={run.createTime} format="short" /> by {shown(makerText(run) || "nobody known")}
      </Fact>
      {run.scheduledTime !== undefined && (
        <Fact name="Scheduled for">
          <Time at={run.scheduledTime} format="short" />
        </Fact>
      )}
      {run.previousSuccess !== undefined && (
        <Fact name="Success before">
          <Link to="/runs/$runId" params={{ runId: run.previousSuccess.runId }}>
            {run.previousSuccess.runId.slice(-8)}
          </Link>
        </Fact>
      )}
      <Fact name="Duration">
        <Duration from={run.startTime} to={run.endTime ?? until} />
      </Fact>
      {run.priority !== 0 && <Fact name="Priority">{run.priority}</Fact>}
      {run.parentRunId !== "" && (
        <Fact name="Part of">
          <Link to="/runs/$runId" params={{ runId: run.parentRunId }} search={{ step: run.parentPath } as never}>
            {shown(run.parentPath)}
          </Link>
        </Fact>
      )}
      {run.forkedFromRunId !== "" && (
        <Fact name="Fork of">
          <Link
            to="/runs/$runId"
            params={{ runId: run.forkedFromRunId }}
            search={{ seq: String(run.forkedFromSeq) } as never}
          >
            <IconGitFork size={12} aria-hidden="true" /> event {String(run.forkedFromSeq)}
          </Link>
        </Fact>
      )}
      <Named name="Parameters" values={run.paramsJson} />
      <Named name="Labels" values={run.labels} />
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className={classes.fact}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const SHOWN = 3;

interface NamedProps {
  name: string;
  values: Readonly<Record<string, string>>;
}

/** The first few of named values, and all of them on demand. Equal values come as another object with every event. */
const Named = memo(function Named({ name, values }: NamedProps) {
  const entries = Object.entries(values).sort(([one], [other]) => one.localeCompare(other));
  if (entries.length === 0) return null;
  return (
    <Fact name={name}>
      <Popover position="bottom-start" shadow="md" trapFocus returnFocus>
        <Popover.Target>
          <UnstyledButton className={classes.named}>
            {entries.slice(0, SHOWN).map(([key, value]) => (
              <span key={key} className={classes.pair}>
                {shown(key)}
                <b>{shown(clipped(value, 24))}</b>
              </span>
            ))}
            {entries.length > SHOWN && <span className={classes.more}>+{entries.length - SHOWN}</span>}
            <VisuallyHidden> of {entries.length}: show all</VisuallyHidden>
          </UnstyledButton>
        </Popover.Target>
        <Popover.Dropdown className={classes.all}>
          <dl>
            {entries.map(([key, value]) => (
              <div key={key}>
                <dt>{shown(key)}</dt>
                <dd>
                  <code>{shown(clipped(value, 2_000))}</code>
                </dd>
              </div>
            ))}
          </dl>
        </Popover.Dropdown>
      </Popover>
    </Fact>
  );
}, sameValues);

function sameValues(one: NamedProps, other: NamedProps): boolean {
  const names = Object.keys(one.values);
  return (
    one.name === other.name &&
    names.length === Object.keys(other.values).length &&
    names.every((name) => one.values[name] === other.values[name])
  );
}
