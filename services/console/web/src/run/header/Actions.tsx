import { Button, Menu, NumberInput, Textarea } from "@mantine/core";
import {
  IconArrowBigUpLines,
  IconChevronDown,
  IconCopyPlus,
  IconPlayerPause,
  IconPlayerPlay,
  IconPlayerStop,
  IconRefresh,
  IconRotateClockwise,
} from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { memo, type ReactNode, useState } from "react";
import { type Command, refusalOf } from "../../api/refusals";
import { useSession } from "../../api/session";
import { Commanding } from "../../common/Commanding";
import { Dialog } from "../../common/Dialog";
import { DialogEnd, Refusal } from "../../common/DialogEnd";
import { statusLook } from "../../common/status";
import { shown } from "../../common/text";
import { type Run, Status } from "../../gen/kaonapi/run/v1/run_pb";
import type { CommandPlan } from "../../gen/kaonapi/run/v1/run_service_pb";
import { commands, idempotencyKey, outcomeText, planText } from "../commands";
import { useRunPage } from "../context";
import { canRetry } from "../model/counts";
import { notify } from "../notices";
import classes from "./Actions.module.css";

type Name = "cancel" | "pause" | "resume" | "retry" | "restart" | "priority" | "rerun" | "break" | "continue";

/** What can be done with the run as it stands; what cannot be done is not offered. Apart from what changes with every event. */
export const Actions = memo(function Actions({ status }: { status: Status }) {
  const [open, setOpen] = useState<Name>();
  const session = useSession();
  const ended = statusLook(status).terminal;
  const paused = status === Status.PAUSED;
  const first: Name = ended ? (canRetry(status) ? "retry" : "rerun") : paused ? "resume" : "pause";
  const others = (["resume", "pause", "retry", "restart", "rerun", "priority", "cancel"] as const).filter(
    (name) => name !== first && possible(name, status) && refusalOf(session, LOOKS[name].command) === "",
  );
  return (
    <>
      <Button.Group>
        <Commanding command={LOOKS[first].command}>
          <Button variant="default" leftSection={LOOKS[first].icon} onClick={() => setOpen(first)}>
            {LOOKS[first].label}
          </Button>
        </Commanding>
        <Menu position="bottom-end">
          {others.length > 0 && (
            <Menu.Target>
              <Button variant="default" px={6} aria-label="More actions">
                <IconChevronDown size={14} />
              </Button>
            </Menu.Target>
          )}
          <Menu.Dropdown>
            {others.map((name) => (
              <Menu.Item
                key={name}
                leftSection={LOOKS[name].icon}
                className={name === "cancel" ? classes.danger : undefined}
                onClick={() => setOpen(name)}
              >
                {LOOKS[name].label}…
              </Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
      </Button.Group>
      {open && <RunDialog name={open} close={() => setOpen(undefined)} />}
    </>
  );
});

function RunDialog({ name, close }: { name: Name; close: () => void }) {
  const { live } = useRunPage();
  return <CommandDialog name={name} run={live.run as Run} path="" close={close} />;
}

function possible(name: Name, status: Status): boolean {
  const ended = statusLook(status).terminal;
  if (name === "rerun") return true;
  if (name === "restart") return false;
  if (name === "retry") return canRetry(status) || !ended;
  if (ended || status === Status.CANCELLING) return false;
  return name === "resume" ? status === Status.PAUSED : name !== "pause" || status !== Status.PAUSED;
}

interface Look {
  label: string;
  command: Command;
  icon: ReactNode;
  says: string;
  planned: boolean;
}

const LOOKS: Readonly<Record<Name, Look>> = {
  cancel: {
    label: "Cancel",
    command: "CancelRun",
    icon: <IconPlayerStop size={14} />,
    says: "What runs is asked to stop, nothing new starts, and hooks run.",
    planned: false,
  },
  pause: {
    label: "Pause",
    command: "PauseRun",
    icon: <IconPlayerPause size={14} />,
    says: "Nothing new starts until it is resumed. What runs goes on.",
    planned: false,
  },
  resume: {
    label: "Resume",
    command: "ResumeRun",
    icon: <IconPlayerPlay size={14} />,
    says: "New steps start again.",
    planned: false,
  },
  retry: {
    label: "Retry",
    command: "RetryRun",
    icon: <IconRefresh size={14} />,
    says: "What failed, was stopped or never began because of it runs again. What has succeeded is kept.",
    planned: true,
  },
  break: {
    label: "Break before it starts",
    command: "SetBreakpoint",
    icon: <IconPlayerPause size={14} />,
    says: "The step waits at a breakpoint before it starts, so that its inputs can be looked at.",
    planned: false,
  },
  continue: {
    label: "Continue",
    command: "PassBreakpoint",
    icon: <IconPlayerPlay size={14} />,
    says: "The step goes on from its breakpoint. A breakpoint of its own is removed.",
    planned: false,
  },
  restart: {
    label: "Restart from here",
    command: "RestartRun",
    icon: <IconRotateClockwise size={14} />,
    says: "This and everything that comes after it runs again. What came before is kept.",
    planned: true,
  },
  priority: {
    label: "Priority",
    command: "SetRunPriority",
    icon: <IconArrowBigUpLines size={14} />,
    says: "Higher goes first. It counts for steps that wait already, too.",
    planned: false,
  },
  rerun: {
    label: "Rerun",
    command: "RerunRun",
    icon: <IconCopyPlus size={14} />,
    says: "Submits a new run of the same version with the same parameters.",
    planned: false,
  },
};

interface DialogProps {
  name: Name;
  run: Run;
  /** Of a step or block; empty for the whole run. */
  path: string;
  close: () => void;
}

/** Says what a command will do before it is sent, and what it did after. */
export function CommandDialog({ name, run, path, close }: DialogProps) {
  const look = LOOKS[name];
  const [reason, setReason] = useState("");
  const [priority, setPriority] = useState(run.priority);
  const [key] = useState(idempotencyKey);
  const navigate = useNavigate();
  const { go } = useRunPage();
  const send = useMutation({
    mutationFn: async () => sendCommand(name, run, path, reason, priority, key),
    onSuccess: ({ text, runId }) => {
      notify(text);
      close();
      if (runId !== undefined) void navigate({ to: "/runs/$runId", params: { runId } });
      else go({ seq: undefined });
    },
  });
  const plan = useQuery({
    queryKey: ["plan", name, run.runId, path, String(run.lastSeq)],
    queryFn: async () => (await dryRun(name, run.runId, path)).plan,
    // Once it is sent, what it would do is no question any more.
    enabled: look.planned && !send.isPending && !send.isSuccess,
  });
  const refused = plan.data !== undefined && plan.data.refusal !== "";
  return (
    <Dialog onClose={close} title={path === "" ? `${look.label} the run` : look.label} size={460}>
      <form
        className={classes.form}
        onSubmit={(event) => {
          event.preventDefault();
          send.mutate();
        }}
      >
        {path !== "" && <code className={classes.path}>{shown(path)}</code>}
        <p>{look.says}</p>
        {look.planned && <Plan plan={plan.data} error={plan.error} />}
        {name === "priority" ? (
          <NumberInput
            label="Priority"
            value={priority}
            onChange={(value) => setPriority(Number(value) || 0)}
            allowDecimal={false}
            data-autofocus
          />
        ) : (
          name !== "rerun" && (
            <Textarea
              label="Reason (kept in the history)"
              value={reason}
              onChange={(event) => setReason(event.currentTarget.value)}
              autosize
              minRows={1}
              maxRows={4}
              data-autofocus
            />
          )
        )}
        <DialogEnd error={send.error} onClose={close}>
          <Button
            type="submit"
            loading={send.isPending}
            disabled={refused}
            color={name === "cancel" ? "red" : undefined}
          >
            {look.label}
          </Button>
        </DialogEnd>
      </form>
    </Dialog>
  );
}

export function Plan({ plan, error }: { plan: CommandPlan | undefined; error: unknown }) {
  if (error) return <Refusal error={error} />;
  return (
    <div className={classes.plan} aria-live="polite">
      {plan === undefined ? "Asks what it would do…" : shown(planText(plan))}
      {plan !== undefined && plan.resets.length > 0 && (
        <details>
          <summary>Which</summary>
          <ul>
            {plan.resets.slice(0, 200).map((path) => (
              <li key={path}>
                <code>{shown(path)}</code>
              </li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}

function dryRun(name: Name, runId: string, path: string) {
  return name === "restart" ? commands.restart(runId, path, "", true) : commands.retry(runId, path, "", true);
}

async function sendCommand(
  name: Name,
  run: Run,
  path: string,
  reason: string,
  priority: number,
  key: string,
): Promise<{ text: string; runId?: string }> {
  const { runId } = run;
  switch (name) {
    case "cancel":
      return { text: outcomeText("Cancel sent", (await commands.cancel(runId, reason, path)).run) };
    case "pause":
      return { text: outcomeText("Paused", (await commands.pause(runId, reason)).run) };
    case "resume":
      return { text: outcomeText("Resumed", (await commands.resume(runId, reason)).run) };
    case "break":
      return { text: outcomeText(`${path} waits before it starts`, (await commands.break(runId, path, reason)).run) };
    case "continue":
      return { text: outcomeText(`${path} goes on`, (await commands.continue(runId, path, reason)).run) };
    case "retry":
      return { text: outcomeText("Retried what had failed", (await commands.retry(runId, path, reason)).run) };
    case "restart":
      return { text: outcomeText(`Restarted from ${path}`, (await commands.restart(runId, path, reason)).run) };
    case "priority":
      return { text: outcomeText(`Priority is ${priority}`, (await commands.priority(runId, priority)).run) };
    case "rerun": {
      const { run: made } = await commands.rerun(runId, key);
      return { text: `Submitted run ${made?.runId}.`, runId: made?.runId };
    }
  }
}
