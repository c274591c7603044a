import { Status } from "../gen/kaonapi/run/v1/run_pb";

/** What a status means to a person. Colour never tells alone: each tone has shapes of its own. */
export type Tone = "done" | "running" | "waiting" | "idle" | "failed" | "off";

/** Names a mark. `StatusMark` draws it as SVG; canvases draw the same path with `Path2D`. */
export type Shape =
  | "ring"
  | "hourglass"
  | "arc"
  | "pulse"
  | "check"
  | "cross"
  | "skip"
  | "stop"
  | "bar"
  | "clock"
  | "alert"
  | "hand"
  | "pause";

export interface StatusLook {
  readonly status: Status;
  /** The name in URLs and in the API's JSON, without its prefix: "SUCCEEDED". */
  readonly name: string;
  /** What people read: "Succeeded". */
  readonly label: string;
  readonly tone: Tone;
  readonly shape: Shape;
  /** Nothing more happens by itself. */
  readonly terminal: boolean;
}

function look(
  status: Status,
  name: string,
  label: string,
  tone: Tone,
  shape: Shape,
  terminal = false,
): readonly [Status, StatusLook] {
  return [status, { status, name, label, tone, shape, terminal }];
}

const LOOKS: ReadonlyMap<Status, StatusLook> = new Map([
  look(Status.PENDING, "PENDING", "Not started", "idle", "ring"),
  look(Status.READY, "READY", "Waits for a runner", "waiting", "hourglass"),
  look(Status.RUNNING, "RUNNING", "Running", "running", "arc"),
  look(Status.SERVING, "SERVING", "Serving", "running", "pulse"),
  look(Status.SUCCEEDED, "SUCCEEDED", "Succeeded", "done", "check", true),
  look(Status.FAILED, "FAILED", "Failed", "failed", "cross", true),
  look(Status.SKIPPED, "SKIPPED", "Skipped", "off", "skip", true),
  look(Status.CANCELLING, "CANCELLING", "Cancelling", "off", "stop"),
  look(Status.CANCELLED, "CANCELLED", "Cancelled", "off", "bar", true),
  look(Status.TIMED_OUT, "TIMED_OUT", "Timed out", "failed", "clock", true),
  look(Status.QUARANTINED, "QUARANTINED", "Quarantined", "failed", "alert", true),
  look(Status.WAITING, "WAITING", "Waits for an answer", "waiting", "hand"),
  look(Status.PAUSED, "PAUSED", "Paused", "waiting", "pause"),
]);

/** All statuses, in the order in which lists and legends show them. */
export const STATUSES: readonly StatusLook[] = [...LOOKS.values()];

/** The statuses that a run itself may have. */
export const RUN_STATUSES: readonly StatusLook[] = STATUSES.filter(
  ({ status }) => ![Status.READY, Status.SERVING, Status.SKIPPED, Status.QUARANTINED, Status.WAITING].includes(status),
);

/** Returns how to show a status; one of a newer server is shown as unknown, never as another. */
export function statusLook(status: Status): StatusLook {
  return (
    LOOKS.get(status) ?? {
      status,
      name: `STATUS_${status}`,
      label: `Unknown status ${status}`,
      tone: "idle",
      shape: "ring",
      terminal: false,
    }
  );
}

/** Returns the status of a name as URLs and the API's text carry it ("FAILED" or "STATUS_FAILED"). */
export function statusOf(name: string): Status | undefined {
  const plain = name.replace(/^STATUS_/, "");
  return STATUSES.find((entry) => entry.name === plain)?.status;
}

/** The CSS variable of a tone: `var(--status-done)`. */
export function toneColor(tone: Tone): string {
  return `var(--status-${tone})`;
}

/** Reads the palette as it stands, for canvases. Ask again when the colour scheme changes. */
export function paletteOf(element: Element): Readonly<Record<Tone, string>> {
  const style = getComputedStyle(element);
  const value = (tone: Tone) => style.getPropertyValue(`--status-${tone}`).trim();
  return {
    done: value("done"),
    running: value("running"),
    waiting: value("waiting"),
    idle: value("idle"),
    failed: value("failed"),
    off: value("off"),
  };
}

/** What a mark consists of, in a box of 16 by 16: a filled outline, then strokes cut into it or drawn alone. */
export interface ShapePath {
  /** Filled with the colour of the tone. */
  readonly fill?: string;
  /** Drawn with the colour of the tone, or of the ground where it lies on the filled outline. */
  readonly stroke?: string;
  /** The outline is drawn dashed. */
  readonly dashed?: boolean;
}

const DISC = "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13z";

export const SHAPES: Readonly<Record<Shape, ShapePath>> = {
  ring: { stroke: "M8 2.25a5.75 5.75 0 1 1 0 11.5a5.75 5.75 0 1 1 0-11.5z", dashed: true },
  hourglass: { fill: "M3.5 1.5h9v1.6L9 8l3.5 4.9v1.6h-9v-1.6L7 8L3.5 3.1z" },
  arc: { fill: "M8 5.25a2.75 2.75 0 1 1 0 5.5a2.75 2.75 0 1 1 0-5.5z", stroke: "M8 2.25a5.75 5.75 0 1 1-5.75 5.75" },
  pulse: {
    fill: "M8 5.25a2.75 2.75 0 1 1 0 5.5a2.75 2.75 0 1 1 0-5.5z",
    stroke: "M4 4a5.65 5.65 0 0 0 0 8M12 4a5.65 5.65 0 0 1 0 8",
  },
  check: { fill: DISC, stroke: "M5 8.25l2.1 2.1L11 6.25" },
  cross: {
    fill: "M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2z",
    stroke: "M5.75 5.75l4.5 4.5M10.25 5.75l-4.5 4.5",
  },
  skip: { stroke: "M4 4.25L7.75 8L4 11.75M8.5 4.25L12.25 8L8.5 11.75" },
  stop: { stroke: "M2.75 2.75h10.5v10.5h-10.5z M6 6h4v4h-4z" },
  bar: { fill: DISC, stroke: "M5 8h6" },
  clock: { fill: "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0-13z", stroke: "M8 4.5v3.75l2.5 1.5" },
  alert: { fill: "M8 1.25L15.25 14H.75z", stroke: "M8 6v3.5M8 11.75v.05" },
  hand: {
    fill: "M8 .9L15.1 8L8 15.1L.9 8z",
    stroke: "M6.25 6.5a1.75 1.75 0 1 1 2.6 1.53c-.6.33-.85.67-.85 1.22M8 11.25v.05",
  },
  pause: { fill: "M3.5 2h3v12h-3z M9.5 2h3v12h-3z" },
};
