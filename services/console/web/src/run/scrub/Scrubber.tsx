import { ActionIcon, Button, SegmentedControl, Tooltip } from "@mantine/core";
import { IconChevronLeft, IconChevronRight, IconGitFork, IconPlayerTrackNext } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { memo, type PointerEvent, useCallback, useMemo, useRef, useState } from "react";
import { workflows } from "../../api/workflows";
import { Commanding } from "../../common/Commanding";
import { Dialog } from "../../common/Dialog";
import { DialogEnd } from "../../common/DialogEnd";
import { formatCount, shortVersion } from "../../common/text";
import { formatClock, formatDuration, millisOf } from "../../common/time";
import { useZone } from "../../common/zone";
import { commands, idempotencyKey } from "../commands";
import { useRunPage } from "../context";
import { Plan } from "../header/Actions";
import actions from "../header/Actions.module.css";
import { useRunAt } from "../live/useRun";
import { hasEnded } from "../model/counts";
import { notify } from "../notices";
import type { Spans } from "../timeline/spans";
import classes from "./Scrubber.module.css";
import type { Scrub } from "./useScrub";

/** A slider over the events of the run. While it is dragged the page folds; let go, the server tells the state and its digest. */
export function Scrubber({ scrub, spans }: { scrub: Scrub; spans: Spans | undefined }) {
  const { live, seq, go, runId } = useRunPage();
  const last = Number(live.run?.lastSeq ?? 0n);
  const ended = hasEnded(live.run?.status ?? 0);
  const shown = scrub.dragged ?? seq ?? last;
  // As it was when the drag began: what stands beside the track grows and shrinks with what is shown.
  const held = useRef<DOMRect>(undefined);
  const past = useRunAt(runId, scrub.dragged === undefined ? seq : undefined);
  // Not that of the moment before, which is shown until this one has come.
  const told = seq !== undefined && scrub.dragged === undefined && !past.isPlaceholderData;
  const hash = told ? past.data?.view?.stateHash : undefined;
  const zone = useZone();
  const [forking, setForking] = useState(false);
  // The events since the attempts were read are not in it: they come with the next look.
  const density = useMemo(() => densityOf(spans), [spans]);
  const newestStep = useRef<(by: number) => void>(undefined);
  const stable = useCallback((by: number) => newestStep.current?.(by), []);
  if (last <= 1) return null;

  const seqAt = (event: PointerEvent): number => {
    const box = held.current;
    if (!box) return last;
    return Math.round(1 + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (last - 1));
  };
  const set = (to: number): void => {
    scrub.drag(undefined);
    go({ seq: to >= last ? undefined : Math.max(1, to) }, { replace: true });
  };
  const step = (by: number): void => set(shown + by);
  newestStep.current = step;
  const share = last > 1 ? (shown - 1) / (last - 1) : 1;
  const started = millisOf(live.run?.createTime) ?? 0;
  return (
    <footer className={classes.scrubber} data-past={seq !== undefined}>
      <div className={classes.steps}>
        <StepButton by={-1} disabled={shown <= 1} step={stable} />
        <StepButton by={1} disabled={shown >= last} step={stable} />
      </div>
      <div
        className={classes.track}
        role="slider"
        tabIndex={0}
        aria-label="Event of the history that is shown"
        aria-valuemin={1}
        aria-valuemax={last}
        aria-valuenow={shown}
        aria-valuetext={
          seq === undefined && scrub.dragged === undefined
            ? ended
              ? "as it ended"
              : "live"
            : `event ${shown} of ${last}`
        }
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          held.current = event.currentTarget.getBoundingClientRect();
          scrub.drag(seqAt(event));
        }}
        onPointerMove={(event) => {
          if (scrub.dragged !== undefined) scrub.drag(seqAt(event));
        }}
        onPointerUp={(event) => set(seqAt(event))}
        onPointerCancel={() => scrub.drag(undefined)}
        onKeyDown={(event) => {
          const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -Math.ceil(last / 20), PageDown: Math.ceil(last / 20) }[
            event.key
          ];
          if (by !== undefined) step(by);
          else if (event.key === "Home") set(1);
          else if (event.key === "End") set(last);
          else return;
          event.preventDefault();
        }}
      >
        <Density bars={density} share={spans ? Math.min(1, spans.seq / last) : 1} />
        <div className={classes.rail}>
          <div className={classes.passed} style={{ transform: `translateX(${(share - 1) * 100}%)` }} />
        </div>
        <div className={classes.carrier} style={{ transform: `translateX(${share * 100}%)` }}>
          <div className={classes.thumb} />
        </div>
      </div>
      <div className={classes.reading}>
        <span className={classes.seq}>
          {formatCount(shown)} / {formatCount(last)}
        </span>
        {scrub.timeUs !== undefined && (
          <span title={formatClock(scrub.timeUs / 1000, zone)}>+{formatDuration(scrub.timeUs / 1000 - started)}</span>
        )}
        {hash && (
          <Tooltip
            label={`The digest of the whole state after event ${seq}, as the server replays it: ${hash}`}
            multiline
            maw={340}
          >
            <code className={classes.hash}>{shortVersion(hash)}</code>
          </Tooltip>
        )}
      </div>
      {seq === undefined ? (
        <span className={classes.live} data-ended={ended}>
          <i aria-hidden="true" /> {ended ? "Ended" : "Live"}
        </span>
      ) : (
        <>
          <Commanding command="ForkRun" above>
            <Button variant="light" leftSection={<IconGitFork size={14} />} onClick={() => setForking(true)}>
              Fork from here
            </Button>
          </Commanding>
          <Button variant="default" leftSection={<IconPlayerTrackNext size={14} />} onClick={() => set(last)}>
            {ended ? "To the end" : "Live"}
          </Button>
        </>
      )}
      {forking && seq !== undefined && <ForkDialog seq={seq} close={() => setForking(false)} />}
    </footer>
  );
}

function ForkDialog({ seq, close }: { seq: number; close: () => void }) {
  const { runId, live } = useRunPage();
  const navigate = useNavigate();
  const [key] = useState(idempotencyKey);
  const [version, setVersion] = useState("");
  const newest = useNewestVersion(live.run?.workflow ?? "", live.run?.version ?? "");
  const plan = useQuery({
    queryKey: ["plan", "fork", runId, seq, version],
    queryFn: async () => (await commands.fork(runId, seq, version, key, true)).plan,
  });
  const send = useMutation({
    // Another version is another command: the one that was sent may have been accepted.
    mutationFn: () => commands.fork(runId, seq, version, `${key}-${shortVersion(version)}`),
    onSuccess: ({ run }) => {
      close();
      notify(`Forked from event ${seq}: run ${run?.runId} goes on from there.`);
      if (run) void navigate({ to: "/runs/$runId", params: { runId: run.runId } });
    },
  });
  return (
    <Dialog onClose={close} title={`Fork from event ${seq}`} size={460}>
      <div className={actions.form}>
        <p>A new run begins with the state after this event. What had ended is kept, what was active begins anew.</p>
        {newest !== undefined && (
          <SegmentedControl
            aria-label="Version of the new run"
            value={version}
            onChange={setVersion}
            data={[
              { value: "", label: `Its version, ${shortVersion(live.run?.version ?? "")}` },
              { value: newest, label: `The current one, ${shortVersion(newest)}` },
            ]}
          />
        )}
        <Plan plan={plan.data} error={plan.error} />
        <DialogEnd error={send.error} onClose={close}>
          <Button
            loading={send.isPending}
            disabled={plan.data === undefined || plan.data.refusal !== ""}
            onClick={() => send.mutate()}
          >
            Fork
          </Button>
        </DialogEnd>
      </div>
    </Dialog>
  );
}

/** The current version of a workflow; undefined while it is not known, and when a run has it already. */
function useNewestVersion(name: string, known: string): string | undefined {
  const { data } = useQuery({
    queryKey: ["workflow", name, ""],
    queryFn: async ({ signal }) => (await workflows.getWorkflow({ name }, { signal })).workflow?.version,
    enabled: name !== "",
  });
  return data === undefined || data === "" || data === known ? undefined : data;
}

const BARS = 120;

/** How much happened along the history: ends of attempts, by event. */
function densityOf(spans: Spans | undefined): readonly number[] {
  if (spans === undefined || spans.seq <= 1) return [];
  const last = spans.seq;
  const bars = new Array<number>(BARS).fill(0);
  for (let at = 0; at < spans.count; at++) {
    const seq = spans.endSeq[at] as number;
    if (seq > 0) bars[Math.min(BARS - 1, Math.floor(((seq - 1) / (last - 1)) * BARS))]! += 1;
  }
  const most = Math.max(1, ...bars);
  return bars.map((count) => count / most);
}

/** `share` is the part of the history that the bars are of. */
function Density({ bars, share }: { bars: readonly number[]; share: number }) {
  if (bars.length === 0) return null;
  return (
    <svg
      className={classes.density}
      style={{ width: `${share * 100}%` }}
      viewBox={`0 0 ${bars.length} 14`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <Bars bars={bars} />
    </svg>
  );
}

const Bars = memo(function Bars({ bars }: { bars: readonly number[] }) {
  return <path d={bars.map((bar, at) => (bar > 0 ? `M${at + 0.5},14V${14 - 1 - bar * 12}` : "")).join("")} />;
});

interface StepProps {
  by: -1 | 1;
  disabled: boolean;
  step: (by: number) => void;
}

const StepButton = memo(function StepButton({ by, disabled, step }: StepProps) {
  const label = by < 0 ? "One event back" : "One event on";
  return (
    <Tooltip label={label}>
      <ActionIcon aria-label={label} onClick={() => step(by)} disabled={disabled}>
        {by < 0 ? <IconChevronLeft size={15} /> : <IconChevronRight size={15} />}
      </ActionIcon>
    </Tooltip>
  );
});
