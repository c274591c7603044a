import type { ReactNode } from "react";
import { StatusLabel } from "../common/StatusMark";
import { statusLook, toneColor } from "../common/status";
import { createStore, useStore } from "../common/store";
import { Duration, Time } from "../common/Time";
import { formatCount, makerText, shortId, shortVersion, shown } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import classes from "./columns.module.css";
import type { Order } from "./search";

/** One column of the list of runs. */
export interface Column {
  readonly id: string;
  readonly title: string;
  /** A track of the grid. */
  readonly width: string;
  readonly cell: (run: Run) => ReactNode;
  /** The orders that a click on its head goes through. */
  readonly orders?: readonly [Order, Order];
  readonly end?: boolean;
}

// The table is as wide as its columns want to be: a share in the proportion of its least width widens nothing.
export const COLUMNS: readonly Column[] = [
  {
    id: "status",
    title: "Status",
    width: "minmax(124px, 1.24fr)",
    cell: ({ status }) => <StatusLabel status={status} />,
  },
  {
    id: "workflow",
    title: "Workflow",
    width: "minmax(140px, 2fr)",
    cell: (run) => <span className={classes.workflow}>{shown(run.workflow)}</span>,
  },
  {
    id: "run",
    title: "Run",
    width: "92px",
    cell: ({ runId }) => (
      <code className={classes.id} title={runId}>
        {shortId(runId)}
      </code>
    ),
  },
  { id: "steps", title: "Steps", width: "minmax(128px, 1.28fr)", cell: (run) => <Steps run={run} /> },
  { id: "labels", title: "Labels", width: "minmax(90px, 1.1fr)", cell: (run) => <Labels labels={run.labels} /> },
  {
    id: "by",
    title: "Submitter",
    width: "minmax(110px, 1.2fr)",
    cell: (run) => <span title={shown(run.origin || run.submitter)}>{shown(makerText(run))}</span>,
  },
  {
    id: "version",
    title: "Version",
    width: "86px",
    cell: ({ version }) => <code title={version}>{shortVersion(version)}</code>,
  },
  { id: "priority", title: "Priority", width: "70px", end: true, cell: ({ priority }) => priority },
  {
    id: "created",
    title: "Submitted",
    width: "104px",
    orders: ["newest", "oldest"],
    end: true,
    cell: ({ createTime }) => <Time at={createTime} format="short" />,
  },
  {
    id: "duration",
    title: "Duration",
    width: "96px",
    orders: ["longest", "shortest"],
    end: true,
    cell: ({ startTime, endTime }) => <Duration from={startTime} to={endTime} />,
  },
];

const USUAL = ["status", "workflow", "run", "steps", "labels", "by", "created", "duration"];
const KEY = "kaon-run-columns";

function read(): readonly string[] {
  try {
    const kept = localStorage.getItem(KEY)?.split(",");
    const known = COLUMNS.map(({ id }) => id).filter((id) => kept?.includes(id));
    return known.length > 0 ? known : USUAL;
  } catch {
    return USUAL;
  }
}

const chosen = createStore(read());
chosen.subscribe(() => {
  try {
    localStorage.setItem(KEY, chosen.get().join(","));
  } catch {
    // A browser that forbids storage forgets the choice with the page.
  }
});

/** The columns that this person has chosen. */
export function useColumns(): readonly Column[] {
  const ids = useStore(chosen);
  return COLUMNS.filter(({ id }) => ids.includes(id));
}

/** Shows a column, or no longer; the last one stays. */
export function toggleColumn(id: string): void {
  const ids = chosen.get();
  const next = ids.includes(id) ? ids.filter((other) => other !== id) : [...ids, id];
  if (next.length > 0) chosen.set(next);
}

function Steps({ run }: { run: Run }) {
  const { stepsTotal, stepsSucceeded, status } = run;
  const share = stepsTotal === 0 ? 0 : stepsSucceeded / stepsTotal;
  return (
    <span className={classes.steps}>
      <span className={classes.bar} aria-hidden="true">
        <span style={{ width: `${share * 100}%`, background: toneColor(statusLook(status).tone) }} />
      </span>
      {formatCount(stepsSucceeded)}/{formatCount(stepsTotal)}
    </span>
  );
}

export function Labels({ labels }: { labels: Readonly<Record<string, string>> }) {
  return (
    <span className={classes.labels}>
      {Object.entries(labels).map(([name, value]) => (
        <span key={name} className={classes.label} title={shown(`${name}=${value}`)}>
          {shown(name)}
          <b>{shown(value)}</b>
        </span>
      ))}
    </span>
  );
}
