import { Button, Textarea, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { datasets } from "../api/datasets";
import { Dialog } from "../common/Dialog";
import { DialogEnd } from "../common/DialogEnd";
import classes from "./Datasets.module.css";
import { outputsOf } from "./outputs";
import { useRefresh } from "./queries";

/** Tells of an update that no step has made. What was typed stays when the server refuses it. */
export function RecordDialog({ name: fixed, onClose }: { name: string | undefined; onClose: () => void }) {
  const [name, setName] = useState(fixed ?? "");
  const [partition, setPartition] = useState("");
  const [outputs, setOutputs] = useState("");
  // Sent twice it counts once.
  const [idempotencyKey] = useState(() => `console-${crypto.randomUUID()}`);
  const { values, problem } = outputsOf(outputs);
  const navigate = useNavigate();
  const refresh = useRefresh();
  const send = useMutation({
    mutationFn: () => datasets.recordDatasetUpdate({ name, partition, outputsJson: values, idempotencyKey }),
    onSuccess: () => {
      refresh();
      onClose();
      void navigate({ to: "/datasets/$name", params: { name } });
    },
  });
  return (
    <Dialog onClose={onClose} title="Record an update">
      <form
        className={classes.form}
        onSubmit={(event) => {
          event.preventDefault();
          send.mutate();
        }}
      >
        <p>Something else has updated the data. Schedules that wait for the dataset start their runs.</p>
        {fixed === undefined && (
          <TextInput
            label="Dataset"
            description="Lower-case letters, digits, hyphens and single dots."
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            data-autofocus
          />
        )}
        <TextInput
          label="Partition"
          description="Empty: the dataset as a whole."
          value={partition}
          onChange={(event) => setPartition(event.currentTarget.value)}
          data-autofocus={fixed !== undefined || undefined}
        />
        <Textarea
          label="Outputs (JSON)"
          description="What schedules see as event.outputs."
          placeholder='{"rows": 1200}'
          value={outputs}
          onChange={(event) => setOutputs(event.currentTarget.value)}
          error={problem || undefined}
          autosize
          minRows={2}
          maxRows={10}
        />
        <DialogEnd error={send.error} onClose={onClose}>
          <Button type="submit" disabled={name === "" || problem !== ""} loading={send.isPending}>
            Record
          </Button>
        </DialogEnd>
      </form>
    </Dialog>
  );
}
