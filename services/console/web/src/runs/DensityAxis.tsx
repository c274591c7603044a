import { ActionIcon } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { IconTable } from "@tabler/icons-react";
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import chip from "../common/Chip.module.css";
import { Hint } from "../common/Hint";
import { counted, formatCount } from "../common/text";
import { formatShort, formatTime } from "../common/time";
import { useZone } from "../common/zone";
import { Bars } from "./Bars";
import classes from "./DensityAxis.module.css";
import { type Bar, bucketAt, orderedSpan, type Span, STACK, ticksOf } from "./density";

const HEIGHT = 56;
/** Pixels of a bar with its gap. */
export const BAR = 7;

interface Props {
  bars: readonly Bar[];
  /** "24h" or a time, as the address has it. */
  since: string | undefined;
  brushed: boolean;
  onRange: (since: string | undefined, until: string | undefined) => void;
  onWidth: (width: number) => void;
}

/** Runs over time. A drag over it chooses a time; so do the arrow keys with Shift, and Enter. */
export function DensityAxis({ bars, since, brushed, onRange, onWidth }: Props) {
  const [asTable, setAsTable] = useState(false);
  const { ref, width } = useElementSize();
  useEffect(() => onWidth(width), [width, onWidth]);
  return (
    <section className={classes.axis} aria-label="Runs over time">
      <div className={classes.plot} ref={ref}>
        {width > 0 && <Plot bars={bars} width={width} onRange={onRange} />}
      </div>
      <div className={classes.tools}>
        <fieldset className={chip.chips} aria-label="Time">
          {PRESETS.map(({ value, label }) => (
            <button
              key={label}
              type="button"
              className={chip.chip}
              aria-pressed={!brushed && since === value}
              onClick={() => onRange(value, undefined)}
            >
              {label}
            </button>
          ))}
        </fieldset>
        <Hint label={asTable ? "Hide the table" : "Show as a table"}>
          <ActionIcon aria-label="Show as a table" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            <IconTable size={15} stroke={1.75} />
          </ActionIcon>
        </Hint>
      </div>
      {asTable && <BarsTable bars={bars} />}
    </section>
  );
}

const PRESETS = [
  { value: "1h", label: "1 h" },
  { value: "24h", label: "24 h" },
  { value: "7d", label: "7 d" },
  { value: undefined, label: "All" },
];

interface PlotProps {
  bars: readonly Bar[];
  width: number;
  onRange: Props["onRange"];
}

function Plot({ bars, width, onRange }: PlotProps) {
  const [span, setSpan] = useState<Span>();
  const [at, setAt] = useState<number>();
  const dragging = useRef(false);
  const zone = useZone();

  const bucketOf = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return bucketAt(event.clientX - box.left, box.width, bars.length);
  };
  const apply = (chosen: Span | undefined) => {
    setSpan(undefined);
    if (!chosen) return;
    const [first, last] = orderedSpan(chosen);
    onRange(new Date(bars[first]!.from).toISOString(), new Date(Math.ceil(bars[last]!.to)).toISOString());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) {
      const next = Math.max(0, Math.min(bars.length - 1, (at ?? (by > 0 ? -1 : bars.length)) + by));
      setSpan(event.shiftKey ? { from: span?.from ?? at ?? next, to: next } : undefined);
      setAt(next);
    } else if (event.key === "Enter") apply(span ?? (at === undefined ? undefined : { from: at, to: at }));
    else if (event.key === "Escape") setSpan(undefined);
    else return;
    event.preventDefault();
  };
  const shown = span ? spanBar(bars, span) : at === undefined ? undefined : bars[at];
  return (
    <>
      <div
        className={classes.canvas}
        role="slider"
        aria-label="Runs over time. Arrow keys move, Shift chooses, Enter applies."
        aria-valuemin={0}
        aria-valuemax={Math.max(0, bars.length - 1)}
        aria-valuenow={at ?? 0}
        aria-valuetext={shown && `${counted(shown.total, "run")} from ${formatTime(shown.from, zone)}`}
        tabIndex={0}
        onKeyDown={onKeyDown}
        onBlur={() => setAt(undefined)}
        onPointerDown={(event) => {
          if (bars.length === 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          dragging.current = true;
          const here = bucketOf(event);
          setSpan({ from: here, to: here });
        }}
        onPointerMove={(event) => {
          if (bars.length === 0) return;
          const here = bucketOf(event);
          setAt(here);
          if (dragging.current) setSpan((old) => ({ from: old?.from ?? here, to: here }));
        }}
        onPointerLeave={() => setAt(undefined)}
        onPointerUp={() => {
          dragging.current = false;
          apply(span);
        }}
      >
        <Bars bars={bars} width={width} height={HEIGHT} at={at} span={span} />
      </div>
      <Ticks bars={bars} width={width} />
      <div
        className={classes.tip}
        data-shown={shown !== undefined}
        aria-live="polite"
        style={tipPlace(at, bars, width)}
      >
        {shown && (
          <>
            <strong>{counted(shown.total, "run")}</strong>
            {shown.tones.failed > 0 && <span className={classes.failed}>{formatCount(shown.tones.failed)} failed</span>}
            <span className={classes.when}>
              {formatShort(shown.from, Date.now(), zone)} to {formatShort(shown.to, Date.now(), zone)}
            </span>
          </>
        )}
      </div>
    </>
  );
}

/** Adds up the bars of a span. */
function spanBar(bars: readonly Bar[], span: Span): Bar | undefined {
  const [first, last] = orderedSpan(span);
  const inside = bars.slice(first, last + 1);
  if (inside.length === 0) return undefined;
  const tones = Object.fromEntries(
    STACK.map((tone) => [tone, inside.reduce((sum, bar) => sum + bar.tones[tone], 0)]),
  ) as Bar["tones"];
  const total = inside.reduce((sum, bar) => sum + bar.total, 0);
  return { from: inside[0]!.from, to: inside.at(-1)!.to, total, tones };
}

function tipPlace(at: number | undefined, bars: readonly Bar[], width: number) {
  const x = ((at ?? 0) + 0.5) * (width / Math.max(1, bars.length));
  return x > width / 2 ? { right: Math.max(0, width - x) } : { left: x };
}

/** Round times below the bars. */
function Ticks({ bars, width }: { bars: readonly Bar[]; width: number }) {
  const zone = useZone();
  const from = bars[0]?.from ?? 0;
  const to = bars.at(-1)?.to ?? 0;
  if (to <= from) return <div className={classes.ticks} />;
  const offset = zone === "utc" ? 0 : -new Date(to).getTimezoneOffset() * 60_000;
  const ticks = ticksOf(from, to, Math.max(2, width / 110), offset);
  return (
    <div className={classes.ticks} aria-hidden="true">
      {ticks.map((tick) => {
        const share = (tick - from) / (to - from);
        return (
          <span
            key={tick}
            style={{ left: `${share * 100}%` }}
            data-edge={share > 0.94 ? "end" : share < 0.03 ? "start" : ""}
          >
            {tickText(tick, to - from, zone)}
          </span>
        );
      })}
    </div>
  );
}

function tickText(tick: number, length: number, zone: "local" | "utc"): string {
  const [date, clock] = formatTime(tick, zone).split(" ") as [string, string];
  if (length > 5 * 86_400_000) return date.slice(5);
  if (length < 600_000) return clock;
  return clock === "00:00:00" ? date.slice(5) : clock.slice(0, 5);
}

/** The same as text, for who cannot see the bars. */
function BarsTable({ bars }: { bars: readonly Bar[] }) {
  const zone = useZone();
  return (
    <div className={classes.tableBox}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">Runs</th>
            {STACK.map((tone) => (
              <th key={tone} scope="col">
                {TONE_NAMES[tone]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {bars
            .filter(({ total }) => total > 0)
            .map((bar) => (
              <tr key={bar.from}>
                <th scope="row">{formatTime(bar.from, zone)}</th>
                <td>{bar.total}</td>
                {STACK.map((tone) => (
                  <td key={tone}>{bar.tones[tone]}</td>
                ))}
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}

const TONE_NAMES = Object.fromEntries(
  STACK.map((tone) => [
    tone,
    {
      failed: "Failed",
      running: "Running",
      waiting: "Waiting",
      idle: "Not started",
      done: "Succeeded",
      off: "Stopped",
    }[tone],
  ]),
);
