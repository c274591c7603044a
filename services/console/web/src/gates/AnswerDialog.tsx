import { Button, Textarea } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { runs } from "../api/runs";
import { Dialog } from "../common/Dialog";
import { DialogEnd } from "../common/DialogEnd";
import { shown } from "../common/text";
import classes from "./AnswerGate.module.css";
import { GateFields, useGateFields } from "./GateFields";
import type { Approval } from "./gates";

/** Asks for a comment, and sends the answer. */
export function AnswerDialog({
  approval,
  approved,
  onClose,
}: {
  approval: Approval;
  approved: boolean;
  onClose: () => void;
}) {
  const { run, gate } = approval;
  const [comment, setComment] = useState("");
  const form = useGateFields(approved ? gate.fields : []);
  const client = useQueryClient();
  const send = useMutation({
    mutationFn: () =>
      runs.answerGate({ runId: run.runId, path: gate.path, approved, comment, valuesJson: form.values }),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["approvals"] });
      onClose();
    },
  });
  const word = approved ? "Approve" : "Reject";
  return (
    <Dialog onClose={onClose} title={`${word}: ${shown(gate.message) || gate.path}`}>
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
      {approved && <GateFields fields={gate.fields} form={form} />}
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
      <div className={classes.end}>
        <DialogEnd error={send.error} onClose={onClose}>
          <Button
            color={approved ? undefined : "red"}
            disabled={!form.complete}
            loading={send.isPending}
            onClick={() => send.mutate()}
          >
            {word}
          </Button>
        </DialogEnd>
      </div>
    </Dialog>
  );
}
