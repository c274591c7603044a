import { StatusMark } from "../common/StatusMark";
import { statusLook, toneColor } from "../common/status";
import { formatCount } from "../common/text";
import { BAR_ORDER, type BarPart, barParts, type Counts, Status } from "./model/counts";
import classes from "./StatusBar.module.css";

/** How many have which status, as a bar: equal widths are equal numbers, and what is few is still seen. */
export function StatusBar({ counts, height = 6 }: { counts: Counts; height?: number }) {
  const parts = BAR_ORDER.filter((status) => (counts[status] ?? 0) > 0);
  const label = parts.map((status) => `${formatCount(counts[status] ?? 0)} ${wordOf(status)}`).join(", ");
  return (
    <div
      className={classes.bar}
      style={{ height, backgroundImage: stripes(barParts(counts)) }}
      role="img"
      aria-label={label || "nothing yet"}
      title={label}
    />
  );
}

/** The bar as one picture, with a gap of a pixel between two parts: other counts paint it anew, and lay nothing out. */
function stripes(parts: readonly BarPart[]): string {
  const stops = parts.flatMap(({ status, from, to }) => {
    const last = to >= 1;
    const end = last ? "100%" : `calc(${percent(to)} - 1px)`;
    const part = `${colorOf(status)} ${percent(from)} ${end}`;
    return last ? [part] : [part, `transparent ${end} ${percent(to)}`];
  });
  return stops.length > 0 ? `linear-gradient(to right, ${stops.join(", ")})` : "none";
}

function percent(share: number): string {
  return `${(share * 100).toFixed(3)}%`;
}

/** The same in words, each with its mark. */
export function StatusLegend({ counts }: { counts: Counts }) {
  return (
    <ul className={classes.legend}>
      {BAR_ORDER.filter((status) => (counts[status] ?? 0) > 0).map((status) => (
        <li key={status}>
          <StatusMark status={status || Status.PENDING} size={11} labelled={false} still />
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
    ? "var(--bar-open)"
    : toneColor(statusLook(status).tone);
}
