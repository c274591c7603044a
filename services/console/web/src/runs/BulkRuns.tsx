import { TextInput } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";
import { StatusMark } from "../common/StatusMark";
import { ToggleChips } from "../common/ToggleChips";
import { formatCount, shortId, shown } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import classes from "./BulkDialog.module.css";
import type { Bulk, Outcome } from "./bulkStore";
import { close } from "./bulkWork";

const ROW = 30;
/** So many are looked through with the eyes. */
const FEW = 8;

const PARTS = ["Failed", "Done", "To do", "Left out"] as const;
type Part = (typeof PARTS)[number];

interface Entry {
  readonly run: Run;
  readonly part: Part;
  readonly outcome: Outcome | undefined;
  /** Why it is left out. */
  readonly why: string;
}

/** The runs that are meant, by their exact ids, and what became of each. Only the rows in sight are in the page. */
export function BulkRuns({ bulk }: { bulk: Bulk }) {
  const [text, setText] = useState("");
  const [parts, setParts] = useState<readonly string[]>([]);
  const entries = useMemo(() => entriesOf(bulk), [bulk]);
  const counts = useMemo(() => countsOf(entries), [entries]);
  const names = PARTS.filter((part) => (counts.get(part) ?? 0) > 0);
  const found = useMemo(() => matching(entries, text, parts), [entries, text, parts]);
  return (
    <>
      {(names.length > 1 || bulk.apply.length > FEW) && (
        <div className={classes.find}>
          <TextInput
            aria-label="Find a run among these"
            placeholder="Find an id or a workflow"
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          {names.length > 1 && (
            <ToggleChips
              label="Which of these runs"
              names={names}
              chosen={parts}
              onChange={setParts}
              content={(name) => `${name} ${formatCount(counts.get(name) ?? 0)}`}
            />
          )}
        </div>
      )}
      <Rows entries={found} />
    </>
  );
}

function Rows({ entries }: { entries: readonly Entry[] }) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 8,
    getItemKey: (index) => entries[index]!.run.runId,
  });
  if (entries.length === 0) return <p className={classes.none}>None of these runs is called so.</p>;
  return (
    <div
      ref={scroller}
      className={entries.length > FEW ? classes.ids : `${classes.ids} ${classes.short}`}
      role="list"
      aria-label="The runs that are meant"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
      tabIndex={0}
    >
      <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map(({ index, key, start }) => (
          <div
            key={key}
            ref={virtual.measureElement}
            data-index={index}
            role="listitem"
            aria-posinset={index + 1}
            aria-setsize={entries.length}
            className={classes.row}
            style={{ transform: `translateY(${start}px)` }}
          >
            <Row entry={entries[index]!} />
          </div>
        ))}
      </div>
    </div>
  );
}

function Row({ entry: { run, outcome, why } }: { entry: Entry }) {
  return (
    <>
      <StatusMark status={run.status} />
      <code>{run.runId}</code>
      <span className={classes.workflow}>{shown(run.workflow)}</span>
      {why !== "" && <span className={classes.dim}>{why}</span>}
      {outcome?.kind === "sending" && <span className={classes.dim}>asking…</span>}
      {outcome?.kind === "done" && (
        <span className={classes.good}>{outcome.made ? <Made runId={outcome.made} /> : outcome.text || "done"}</span>
      )}
      {(outcome?.kind === "refused" || outcome?.kind === "lost") && (
        <span className={classes.bad}>{shown(outcome.text)}</span>
      )}
    </>
  );
}

function Made({ runId }: { runId: string }) {
  return (
    <Link to="/runs/$runId" params={{ runId }} onClick={close}>
      run {shortId(runId)}
    </Link>
  );
}

function entriesOf({ apply, leave, outcomes }: Bulk): Entry[] {
  return [
    ...apply.map((run): Entry => {
      const outcome = outcomes.get(run.runId);
      return { run, part: partOf(outcome), outcome, why: "" };
    }),
    ...leave.map(({ run, reason }): Entry => ({ run, part: "Left out", outcome: undefined, why: reason })),
  ];
}

function partOf(outcome: Outcome | undefined): Part {
  if (outcome === undefined || outcome.kind === "sending") return "To do";
  return outcome.kind === "done" ? "Done" : "Failed";
}

function countsOf(entries: readonly Entry[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { part } of entries) counts.set(part, (counts.get(part) ?? 0) + 1);
  return counts;
}

/** What is left out is shown only when it is asked for: the list is of the runs that are meant. */
function matching(entries: readonly Entry[], text: string, parts: readonly string[]): Entry[] {
  const wanted = text.trim().toLowerCase();
  return entries.filter(
    ({ run, part }) =>
      (parts.length === 0 ? part !== "Left out" : parts.includes(part)) &&
      (run.runId.includes(wanted) || run.workflow.toLowerCase().includes(wanted)),
  );
}
