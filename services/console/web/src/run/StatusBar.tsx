import { StatusMark } from "../common/StatusMark";
import { statusLook, toneColor } from "../common/status";
import { formatCount } from "../common/text";
import { BAR_ORDER, type Counts, Status, sum } from "./model/counts";
import classes from "./StatusBar.module.css";

/** How many have which status, as a bar: equal widths are equal numbers, and what is few is still seen. */
export function StatusBar({ counts, height = 6 }: { counts: Counts; height?: number }) {
  const total = sum(counts);
  const parts = BAR_ORDER.filter((status) => (counts[status] ?? 0) > 0);
  const label = parts.map((status) => `${formatCount(counts[status] ?? 0)} ${wordOf(status)}`).join(", ");
  return (
    <div className={classes.bar} style={{ height }} role="img" aria-label={label || "nothing yet"} title={label}>
      {total > 0 &&
        parts.map((status) => (
          <span
            key={status}
            className={status === Status.UNSPECIFIED || status === Status.PENDING ? classes.open : undefined}
            style={{ flexGrow: counts[status] ?? 0, background: colorOf(status) }}
          />
        ))}
    </div>
  );
}

/** The same in words, each with its mark. */
export function StatusLegend({ counts }: { counts: Counts }) {
  return (
    <ul className={classes.legend}>
      {BAR_ORDER.filter((status) => (counts[status] ?? 0) > 0).map((status) => (
        <li key={status}>
          <StatusMark status={status || Status.PENDING} size={11} labelled={false} />
          <b>{formatCount(counts[status] ?? 0)}</b> {wordOf(status)}
        </li>
      ))}
    </ul>
  );
}

function wordOf(status: Status): string {
  return status === Status.UNSPECIFIED ? "not started" : statusLook(status).label.toLowerCase();
}

function colorOf(status: Status): string {
  return status === Status.UNSPECIFIED || status === Status.PENDING
    ? "var(--line-strong)"
    : toneColor(statusLook(status).tone);
}
