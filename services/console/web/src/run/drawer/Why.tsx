import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { faultOf } from "../../api/fault";
import { Time } from "../../common/Time";
import { counted, shown } from "../../common/text";
import { WaitCause, type WaitReason } from "../../gen/kaonapi/runner/v1/runner_pb";
import { runners } from "../clients";
import { useRunPage } from "../context";
import classes from "./Drawer.module.css";
import { Section } from "./StepOverview";

/** Why a step does not run yet, as a chain: each link says what the one before waits for, and leads there. */
export function Why({ path }: { path: string }) {
  const { runId, live } = useRunPage();
  const why = useQuery({
    queryKey: ["why", runId, path, String(live.run?.lastSeq)],
    queryFn: ({ signal }) => runners.explainStep({ runId, path }, { signal }),
    placeholderData: (before) => before,
    // What a pool has free changes without an event of the run.
    refetchInterval: 3_000,
  });
  return (
    <Section title="Why it does not run">
      {why.error && !why.data && <p className={classes.dim}>{shown(faultOf(why.error).message)}</p>}
      {!why.data && !why.error && <p className={classes.dim}>Asks the matcher…</p>}
      <ol className={classes.why}>
        {why.data?.reasons.map((reason) => (
          <li key={`${reason.cause} ${reason.path} ${reason.text}`}>
            <ReasonText reason={reason} />
            <ReasonFacts reason={reason} />
          </li>
        ))}
      </ol>
      {why.data && why.data.reasons.length === 0 && <p>{shown(why.data.text)}</p>}
    </Section>
  );
}

function ReasonText({ reason }: { reason: WaitReason }) {
  const { go, runId } = useRunPage();
  const elsewhere = reason.runId !== "" && reason.runId !== runId;
  if (elsewhere) {
    return (
      <Link
        to="/runs/$runId"
        params={{ runId: reason.runId }}
        search={{ step: reason.path } as never}
        className={classes.link}
      >
        {shown(reason.text)}
      </Link>
    );
  }
  if (reason.path === "") return <span>{shown(reason.text)}</span>;
  return (
    <button type="button" className={classes.link} onClick={() => go({ step: reason.path })}>
      {shown(reason.text)}
    </button>
  );
}

/** The numbers behind a link, and what frees it. */
function ReasonFacts({ reason }: { reason: WaitReason }) {
  const { go } = useRunPage();
  const facts: ReactNode[] = [];
  if (reason.labels.length > 0) facts.push(`labels ${reason.labels.map(shown).join(", ")}`);
  if (reason.runners > 0) facts.push(`${reason.eligible} of ${counted(reason.runners, "runner")} could take it`);
  if (reason.busy > 0) facts.push(`${reason.busy} busy`);
  if (reason.resting > 0) facts.push(`${reason.resting} resting`);
  if (reason.higherAhead > 0n) facts.push(`${reason.higherAhead} go first`);
  if (reason.permits > 0n) facts.push(`${reason.permits} at once`);
  if (reason.nextFreeMs !== undefined) facts.push(`room in about ${Math.ceil(Number(reason.nextFreeMs) / 1000)} s`);
  if (reason.dueTime) facts.push(<Time key="due" at={reason.dueTime} />);
  for (const other of reason.others.slice(0, 6)) {
    facts.push(
      <button key={other} type="button" className={classes.link} onClick={() => go({ step: other })}>
        {shown(other)}
      </button>,
    );
  }
  if (reason.cause === WaitCause.GATE && reason.path !== "") {
    facts.push(
      <button key="answer" type="button" className={classes.link} onClick={() => go({ step: reason.path })}>
        Answer it
      </button>,
    );
  }
  if (facts.length === 0) return null;
  return (
    <small className={classes.whyFacts}>
      {facts.map((fact, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the facts of one link never change their order.
        <span key={at}>{fact}</span>
      ))}
    </small>
  );
}
