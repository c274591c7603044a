import type { Status } from "../gen/kaonapi/run/v1/run_pb";
import classes from "./StatusMark.module.css";
import { SHAPES, statusLook, toneColor } from "./status";

const MOVING: Readonly<Record<string, string | undefined>> = { arc: classes.turning, stop: classes.fading };

interface Props {
  status: Status;
  size?: number;
  /** False where the label stands beside the mark as text. */
  labelled?: boolean;
  /** True where numbers or steps beside it show that something goes on: what turns has the browser draw all the time. */
  still?: boolean;
}

/** Shows a status as a shape in its colour. */
export function StatusMark({ status, size = 14, labelled = true, still = false }: Props) {
  const { label, shape, tone } = statusLook(status);
  const { fill, stroke, dashed } = SHAPES[shape];
  const color = toneColor(tone);
  return (
    <svg
      className={still ? classes.mark : (MOVING[shape] ?? classes.mark)}
      width={size}
      height={size}
      viewBox="0 0 16 16"
      role={labelled ? "img" : "presentation"}
      aria-hidden={!labelled}
    >
      <title>{label}</title>
      {fill && <path d={fill} fill={color} strokeLinejoin="round" />}
      {stroke && (
        <path
          d={stroke}
          fill="none"
          stroke={fill && shape !== "arc" ? "var(--status-cut)" : color}
          strokeWidth={1.6}
          strokeLinecap="round"
          strokeLinejoin="round"
          strokeDasharray={dashed ? "2.2 2.3" : undefined}
        />
      )}
    </svg>
  );
}

interface LabelProps {
  status: Status;
  size?: number;
  /** In place of the status' own word, where more is known. */
  word?: string | undefined;
  still?: boolean;
}

/** Shows a status as mark and word. */
export function StatusLabel({ status, size, word, still }: LabelProps) {
  return (
    <span className={classes.label}>
      <StatusMark status={status} size={size} labelled={false} still={still} />
      {word ?? statusLook(status).label}
    </span>
  );
}
