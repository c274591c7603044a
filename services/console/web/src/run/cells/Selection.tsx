import { Button, CloseButton, Progress, Textarea } from "@mantine/core";
import { IconPlayerSkipForward, IconRefresh } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Commanding } from "../../common/Commanding";
import { Dialog } from "../../common/Dialog";
import { DialogEnd } from "../../common/DialogEnd";
import { StatusMark } from "../../common/StatusMark";
import { counted, shown } from "../../common/text";
import type { CellView } from "../../gen/kaonapi/view/v1/cells_pb";
import { views } from "../clients";
import { commands, forEachPath } from "../commands";
import { useRunPage } from "../context";
import actions from "../header/Actions.module.css";
import { canRetry, hasEnded } from "../model/counts";
import { notify } from "../notices";
import classes from "./Cells.module.css";

const MOST = 1_000;

/** What can be done with the cells that a lasso took. */
export function Selection({ block, indexes, clear }: { block: string; indexes: readonly number[]; clear: () => void }) {
  const { runId, seq } = useRunPage();
  const [doing, setDoing] = useState<"retry" | "skip">();
  const asked = indexes.slice(0, MOST);
  const cells = useQuery({
    queryKey: ["selected", runId, block, asked.join(",")],
    queryFn: ({ signal }) => views.listCells({ runId, block, indexes: asked.map(BigInt), pageSize: MOST }, { signal }),
    placeholderData: (before) => before,
  });
  const list = cells.data?.cells ?? [];
  const retriable = list.filter((cell) => cell.path !== "" && canRetry(cell.status));
  const skippable = list.filter((cell) => cell.path !== "" && !hasEnded(cell.status));
  return (
    <div className={classes.selection} role="status">
      <b>{counted(indexes.length, "cell")} selected</b>
      {indexes.length > MOST && <span>Commands go to the first {MOST}.</span>}
      {seq === undefined ? (
        <>
          <Commanding command="RetryRun">
            <Button
              leftSection={<IconRefresh size={14} />}
              disabled={retriable.length === 0}
              onClick={() => setDoing("retry")}
            >
              Retry {retriable.length > 0 && retriable.length}
            </Button>
          </Commanding>
          <Commanding command="CancelRun">
            <Button
              variant="default"
              leftSection={<IconPlayerSkipForward size={14} />}
              disabled={skippable.length === 0}
              onClick={() => setDoing("skip")}
            >
              Skip {skippable.length > 0 && skippable.length}
            </Button>
          </Commanding>
        </>
      ) : (
        <span>The past can be looked at, not changed.</span>
      )}
      <CloseButton aria-label="Select none" onClick={clear} />
      {doing && (
        <CellsDialog
          doing={doing}
          cells={doing === "retry" ? retriable : skippable}
          close={() => setDoing(undefined)}
          done={clear}
        />
      )}
    </div>
  );
}

interface DialogProps {
  doing: "retry" | "skip";
  cells: readonly CellView[];
  close: () => void;
  done: () => void;
}

/** Shows the exact cells before anything is sent. */
function CellsDialog({ doing, cells, close, done }: DialogProps) {
  const { runId } = useRunPage();
  const [reason, setReason] = useState("");
  const [sent, setSent] = useState(0);
  const send = useMutation({
    mutationFn: async () => {
      const paths = cells.map((cell) => cell.path);
      const one = (path: string): Promise<unknown> =>
        doing === "retry" ? commands.retry(runId, path, reason) : commands.cancel(runId, reason, path, true);
      const result = await forEachPath(paths, one, setSent);
      if (result.error !== undefined) throw result.error;
      return result.done;
    },
    onSuccess: (count) => {
      notify(`${doing === "retry" ? "Retried" : "Skipped"} ${counted(count, "cell")}.`);
      close();
      done();
    },
  });
  const word = doing === "retry" ? "Retry" : "Skip";
  return (
    <Dialog onClose={close} title={`${word} ${counted(cells.length, "cell")}`} size={460}>
      <div className={actions.form}>
        <p>
          {doing === "retry"
            ? "What failed or was stopped in these cells runs again. What has succeeded is kept."
            : "These cells are stopped and count as skipped: what is around them can succeed."}
        </p>
        <ul className={classes.paths}>
          {cells.map((cell) => (
            <li key={String(cell.index)}>
              <StatusMark status={cell.status} size={12} /> <code>{shown(cell.path)}</code>
            </li>
          ))}
        </ul>
        <Textarea
          label="Reason (kept in the history)"
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
          autosize
        />
        {send.isPending && (
          <Progress value={(sent / cells.length) * 100} aria-label={`${sent} of ${cells.length} sent`} />
        )}
        {send.error && <p>{counted(sent, "command")} had been applied before this one failed.</p>}
        <DialogEnd error={send.error} onClose={close}>
          <Button loading={send.isPending} onClick={() => send.mutate()}>
            {word}
          </Button>
        </DialogEnd>
      </div>
    </Dialog>
  );
}
