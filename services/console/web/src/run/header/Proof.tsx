import { Tooltip, UnstyledButton } from "@mantine/core";
import { IconLoader2, IconShield, IconShieldCheck, IconShieldX } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { memo } from "react";
import { faultOf } from "../../api/fault";
import { runs } from "../../api/runs";
import { counted, formatCount } from "../../common/text";
import classes from "./RunHeader.module.css";

/**
 * Has the server replay the history and compare the state with the stored one. Green means that it matched, for just the event that stands
 * beside it; a run that has moved on is not proven any more.
 */
export function Proof({ runId, lastSeq }: { runId: string; lastSeq: number }) {
  const verify = useMutation({ mutationFn: () => runs.verifyRun({ runId }) });
  const answer = verify.data;
  const current = answer !== undefined && Number(answer.seq) >= lastSeq;
  const state = verify.isPending ? "busy" : answer && current ? (answer.matches ? "good" : "bad") : "open";
  const { mutate } = verify;
  const label = explanation(verify.error, answer, current);
  return <ProofButton state={state} label={label} text={textOf(state, answer?.seq, verify.error)} verify={mutate} />;
}

type State = "busy" | "good" | "bad" | "open";

function textOf(state: State, seq: bigint | undefined, error: unknown): string {
  if (state === "good") return `Proven at event ${formatCount(seq ?? 0n)}`;
  if (state === "bad") return "Does not match";
  if (state === "busy") return "Replaying…";
  return error ? "Not proven" : "Prove";
}

interface ButtonProps {
  state: State;
  label: string;
  text: string;
  verify: () => void;
}

/** Apart from what changes with every event. */
const ProofButton = memo(function ProofButton({ state, label, text, verify }: ButtonProps) {
  return (
    <Tooltip multiline maw={380} label={label}>
      <UnstyledButton
        className={classes.proof}
        data-state={state}
        onClick={() => verify()}
        disabled={state === "busy"}
        aria-live="polite"
      >
        <Icon state={state} />
        <span>{text}</span>
      </UnstyledButton>
    </Tooltip>
  );
});

function Icon({ state }: { state: string }) {
  if (state === "good") return <IconShieldCheck size={15} aria-hidden="true" />;
  if (state === "bad") return <IconShieldX size={15} aria-hidden="true" />;
  if (state === "busy") return <IconLoader2 size={15} aria-hidden="true" />;
  return <IconShield size={15} aria-hidden="true" />;
}

function explanation(
  error: unknown,
  answer: Awaited<ReturnType<typeof runs.verifyRun>> | undefined,
  current: boolean,
): string {
  if (error) return `${faultOf(error).title}. ${faultOf(error).message}`;
  if (answer === undefined)
    return "Replay the history from its first event, and compare the state with the stored one.";
  const found = `Replayed ${answer.replayedHash.slice(0, 19)}… stored ${answer.storedHash.slice(0, 19)}…`;
  const kept =
    answer.snapshots > 0n
      ? ` ${counted(Number(answer.snapshots), "snapshot")} compared, ${answer.wrongSnapshots.length} wrong.`
      : "";
  return current ? `${found}${kept}` : `The run has moved on since event ${answer.seq}. Prove it again.`;
}
