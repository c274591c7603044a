import { Button, Modal, Textarea, Tooltip } from "@mantine/core";
import { IconCheck, IconX } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { faultOf } from "../api/fault";
import { useSession } from "../api/session";
import { runs } from "../api/transport";
import { shown } from "../shared/text";
import classes from "./AnswerGate.module.css";
import { type Approval, mayAnswer } from "./gates";

/** The two answers to an approval. Each asks for a comment before it is sent. */
export function AnswerGate({ approval }: { approval: Approval }) {
  const { roles, readOnly } = useSession();
  const [answer, setAnswer] = useState<boolean>();
  if (readOnly) return null;
  const allowed = mayAnswer(approval.gate, roles);
  const why = allowed ? "" : `One of these roles may answer: ${shown(approval.gate.roles.join(", "))}`;
  return (
    <Tooltip label={why} disabled={allowed}>
      <div className={classes.answers}>
        <Button
          variant="default"
          disabled={!allowed}
          leftSection={<IconX size={14} stroke={2} />}
          onClick={() => setAnswer(false)}
        >
          Reject
        </Button>
        <Button disabled={!allowed} leftSection={<IconCheck size={14} stroke={2} />} onClick={() => setAnswer(true)}>
          Approve
        </Button>
        {answer !== undefined && (
          <AnswerDialog approval={approval} approved={answer} onClose={() => setAnswer(undefined)} />
        )}
      </div>
    </Tooltip>
  );
}

function AnswerDialog({ approval, approved, onClose }: { approval: Approval; approved: boolean; onClose: () => void }) {
  const { run, gate } = approval;
  const [comment, setComment] = useState("");
  const client = useQueryClient();
  const send = useMutation({
    mutationFn: () => runs.answerGate({ runId: run.runId, path: gate.path, approved, comment }),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["approvals"] });
      onClose();
    },
  });
  const word = approved ? "Approve" : "Reject";
  return (
    <Modal opened onClose={onClose} title={`${word}: ${shown(gate.message) || gate.path}`}>
      <dl className={classes.facts}>
        <dt>Workflow</dt>
        <dd>{shown(run.workflow)}</dd>
        <dt>Run</dt>
        <dd>
          <code>{run.runId}</code>
        </dd>
        <dt>Gate</dt>
        <dd>
          <code>{shown(gate.path)}</code>
        </dd>
      </dl>
      <Textarea
        label="Comment"
        description="Kept in the history; later steps can read it."
        value={comment}
        onChange={(event) => setComment(event.currentTarget.value)}
        autosize
        minRows={2}
        maxRows={6}
        data-autofocus
      />
      {send.error && (
        <p className={classes.problem} role="alert">
          {shown(faultOf(send.error).message)}
        </p>
      )}
      <div className={classes.actions}>
        <Button variant="subtle" color="gray" onClick={onClose}>
          Leave it
        </Button>
        <Button color={approved ? undefined : "red"} loading={send.isPending} onClick={() => send.mutate()}>
          {word}
        </Button>
      </div>
    </Modal>
  );
}
