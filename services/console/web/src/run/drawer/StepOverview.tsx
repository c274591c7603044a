import { Button } from "@mantine/core";
import { IconPlayerPause, IconPlayerPlay, IconPlayerStop, IconRefresh, IconRotateClockwise } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { Commanding } from "../../common/Commanding";
import { StatusMark } from "../../common/StatusMark";
import { statusLook } from "../../common/status";
import { Time } from "../../common/Time";
import { clipped, counted, shown } from "../../common/text";
import { formatDuration } from "../../common/time";
import { type Run, Status, type StepView } from "../../gen/kaonapi/run/v1/run_pb";
import type { Attempt, GetStepResponse } from "../../gen/kaonapi/view/v1/run_view_pb";
import type { Resources } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { useRunPage } from "../context";
import { CommandDialog } from "../header/Actions";
import { boundEntries } from "../model/bound";
import { canRetry, hasEnded } from "../model/counts";
import { Values } from "../outputs/Values";
import classes from "./Drawer.module.css";
import { Why } from "./Why";

export function StepOverview({ data }: { data: GetStepResponse }) {
  const { seq } = useRunPage();
  const step = data.step as StepView;
  const waits = !hasEnded(step.status) && step.status !== Status.RUNNING && step.status !== Status.SERVING;
  return (
    <div className={classes.content}>
      {step.error && <ErrorBox type={step.error.type} message={step.error.message} details={step.error.details} />}
      {waits && seq === undefined && <Why path={step.path} />}
      {step.status === Status.RUNNING && step.progress > 0 && (
        <Section title="Progress">
          <div className={classes.progress}>
            <span style={{ width: `${Math.min(100, step.progress * 100)}%` }} />
          </div>
          <p className={classes.dim}>
            {Math.round(step.progress * 100)} % {shown(clipped(step.progressMessage, 200))}
          </p>
        </Section>
      )}
      {step.memoRunId !== "" && (
        <Section title="Remembered">
          <p>
            Its outputs were taken from an equal execution:{" "}
            <Link to="/runs/$runId" params={{ runId: step.memoRunId }} search={{ step: step.memoPath } as never}>
              {shown(step.memoPath)}
            </Link>
          </p>
        </Section>
      )}
      <Section title="Attempts" count={data.attempts.length}>
        <Attempts
          attempts={data.attempts}
          said={step.error ? data.attempts.length - 1 : -1}
          retryTime={data.retryTime && <Time at={data.retryTime} format="full" />}
        />
      </Section>
      {Object.keys(step.outputsJson).length > 0 && (
        <Section title="Outputs" count={Object.keys(step.outputsJson).length}>
          <Values values={step.outputsJson} of={step.path} />
        </Section>
      )}
      <Section title="Inputs" count={Object.keys(data.inputsJson).length}>
        {data.itemJson !== "" && <Values values={{ item: data.itemJson }} />}
        {Object.keys(data.inputsJson).length > 0 ? (
          <Values values={data.inputsJson} />
        ) : (
          <p className={classes.dim}>{data.attempts.length === 0 ? "Known when the step becomes ready." : "None"}</p>
        )}
      </Section>
      {data.checkpointJson !== "" && (
        <Section title="Newest checkpoint">
          <Values values={{ checkpoint: data.checkpointJson }} />
        </Section>
      )}
      <Section title="Runs at">
        <dl className={classes.facts}>
          <Fact name="Type">{shown(step.type)}</Fact>
          <Fact name="Pool">{shown(data.pool || "default")}</Fact>
          <Fact name="Runner">{step.runnerId ? shown(step.runnerId) : "none yet"}</Fact>
          <Fact name="Asked for">{resourcesText(data.resources)}</Fact>
          <BoundFacts values={step.boundJson} ofStep />
          {step.lostRunners > 0 && <Fact name="Runners lost">{step.lostRunners}</Fact>}
        </dl>
      </Section>
    </div>
  );
}

/** Policies that were known only when the step or block began. */
export function BoundFacts({ values, ofStep = false }: { values: Readonly<Record<string, string>>; ofStep?: boolean }) {
  return boundEntries(values, ofStep).map(([name, value]) => (
    <Fact key={name} name={`${name}, of the run`}>
      {shown(clipped(value, 400))}
    </Fact>
  ));
}

export function Section({ title, count, children }: { title: string; count?: number; children: ReactNode }) {
  return (
    <section className={classes.section}>
      <h3>
        {title}
        {count !== undefined && count > 0 && <span>{count}</span>}
      </h3>
      {children}
    </section>
  );
}

export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function ErrorBox({ type, message, details }: { type: string; message: string; details: string }) {
  return (
    <div className={classes.error} role="alert">
      <b>{shown(type)}</b>
      <p>{shown(clipped(message, 4_000))}</p>
      {details !== "" && (
        <details>
          <summary>Traceback</summary>
          <pre>{shown(clipped(details, 40_000))}</pre>
        </details>
      )}
    </div>
  );
}

/** Each attempt as a line: how long it waited, how long it worked, how it ended. */
function Attempts({ attempts, said, retryTime }: { attempts: readonly Attempt[]; said: number; retryTime: ReactNode }) {
  const { go } = useRunPage();
  if (attempts.length === 0) return <p className={classes.dim}>It has not become ready yet.</p>;
  const longest = Math.max(...attempts.map((attempt) => spent(attempt)), 1);
  return (
    <ol className={classes.attempts}>
      {attempts.map((attempt, at) => {
        const waited = Number((attempt.leasedUs || attempt.endUs || BigInt(Date.now() * 1000)) - attempt.readyUs);
        const worked = attempt.leasedUs === 0n ? 0 : spent(attempt) - waited;
        return (
          <li key={`${attempt.attempt}.${attempt.generation}.${attempt.readySeq}`}>
            <div className={classes.attemptLine}>
              <StatusMark status={attempt.outcome} size={13} />
              <b>
                {attempt.attempt}
                {attempt.lost !== "" && <em> lease {shown(attempt.lost.replaceAll("_", " "))}</em>}
              </b>
              <span className={classes.dim}>
                {shown(attempt.runnerId)}
                {attempt.succession && ", started by succession"}
              </span>
              <button
                type="button"
                onClick={() => go({ seq: Number(attempt.endSeq || attempt.readySeq), tab: "graph" })}
              >
                event {String(attempt.endSeq || attempt.readySeq)}
              </button>
            </div>
            <div className={classes.spent} title={`waited ${formatDuration(waited / 1000)}`}>
              <i style={{ width: `${(waited / longest) * 100}%` }} />
              <i data-tone={statusLook(attempt.outcome).tone} style={{ width: `${(worked / longest) * 100}%` }} />
            </div>
            <div className={classes.dim}>
              waited {formatDuration(waited / 1000)}
              {attempt.leasedUs > 0n && `, worked ${formatDuration(worked / 1000)}`}
            </div>
            {attempt.error && at !== said && (
              <details className={classes.attemptError}>
                <summary>
                  {shown(attempt.error.type)}: {shown(clipped(attempt.error.message, 140))}
                </summary>
                <pre>{shown(clipped(attempt.error.details || attempt.error.message, 20_000))}</pre>
              </details>
            )}
          </li>
        );
      })}
      {retryTime && <li className={classes.dim}>The next attempt begins at {retryTime}.</li>}
    </ol>
  );
}

function spent(attempt: Attempt): number {
  return Number((attempt.endUs || BigInt(Date.now() * 1000)) - attempt.readyUs);
}

function resourcesText(resources: Resources | undefined): string {
  if (resources === undefined) return "1 slot";
  const parts = [counted(resources.slots || 1, "slot")];
  if (resources.cpuMilli > 0n) parts.push(counted(Number(resources.cpuMilli) / 1000, "CPU"));
  if (resources.memoryBytes > 0n) parts.push(memoryText(Number(resources.memoryBytes)));
  if (resources.gpu > 0) parts.push(counted(resources.gpu, "GPU"));
  for (const [name, count] of Object.entries(resources.custom)) parts.push(`${count} ${shown(name)}`);
  return parts.join(", ");
}

/** Sizes of memory are asked for in units of 1,024. */
function memoryText(bytes: number): string {
  const [unit, size] = bytes >= 2 ** 30 ? ["GiB", 2 ** 30] : ["MiB", 2 ** 20];
  return `${Number((bytes / size).toFixed(1))} ${unit}`;
}

/** What can be done with one step or block as it stands. */
export function StepActions({ step }: { step: { path: string; status: number; atBreakpoint?: boolean } }) {
  const { live } = useRunPage();
  const [open, setOpen] = useState<"retry" | "restart" | "cancel" | "break" | "continue">();
  const ended = hasEnded(step.status);
  return (
    <div className={classes.actions}>
      {canRetry(step.status) && (
        <Commanding command="RetryRun">
          <Button
            variant="default"
            size="compact-xs"
            leftSection={<IconRefresh size={13} />}
            onClick={() => setOpen("retry")}
          >
            Retry
          </Button>
        </Commanding>
      )}
      {ended && (
        <Commanding command="RestartRun">
          <Button
            variant="default"
            size="compact-xs"
            leftSection={<IconRotateClockwise size={13} />}
            onClick={() => setOpen("restart")}
          >
            Restart from here
          </Button>
        </Commanding>
      )}
      {step.atBreakpoint !== undefined && step.status === Status.PENDING && (
        <Commanding command={step.atBreakpoint ? "PassBreakpoint" : "SetBreakpoint"}>
          <Button
            variant="default"
            size="compact-xs"
            leftSection={step.atBreakpoint ? <IconPlayerPlay size={13} /> : <IconPlayerPause size={13} />}
            onClick={() => setOpen(step.atBreakpoint ? "continue" : "break")}
          >
            {step.atBreakpoint ? "Continue" : "Break before it starts"}
          </Button>
        </Commanding>
      )}
      {!ended && step.status !== Status.PENDING && (
        <Commanding command="CancelRun">
          <Button
            variant="default"
            size="compact-xs"
            leftSection={<IconPlayerStop size={13} />}
            onClick={() => setOpen("cancel")}
          >
            Cancel
          </Button>
        </Commanding>
      )}
      {open && <CommandDialog name={open} run={live.run as Run} path={step.path} close={() => setOpen(undefined)} />}
    </div>
  );
}
