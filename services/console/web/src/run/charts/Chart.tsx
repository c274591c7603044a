import "uplot/dist/uPlot.min.css";
import { useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { shown } from "../../common/text";
import classes from "./Chart.module.css";
import { metricText } from "./format";

interface Props {
  xs: readonly number[];
  lines: readonly { label: string; values: readonly (number | null)[] }[];
  xLabel: string;
  /** What the chart says, for who cannot see it. */
  label: string;
  points?: boolean;
  height?: number;
}

const STROKES = ["--accent", "--status-waiting", "--text-dim"] as const;

/** A line chart. */
export function Chart({ xs, lines, xLabel, label, points = false, height = 150 }: Props) {
  const { ref, width } = useElementSize();
  const target = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme();
  useEffect(() => {
    const place = target.current;
    if (!place || width === 0 || !scheme) return;
    const style = getComputedStyle(document.documentElement);
    const color = (name: string): string => style.getPropertyValue(name).trim();
    const axis = {
      stroke: color("--text-faint"),
      grid: { stroke: color("--line"), width: 1 },
      ticks: { show: false },
      font: '11px "Inter Variable", Inter, sans-serif',
    };
    const strokes = STROKES.map(color);
    const plot = new uPlot(
      {
        width,
        height,
        legend: { show: false },
        padding: [6, 8, 0, 0],
        cursor: { points: { size: 6 } },
        scales: { x: { time: false } },
        axes: [
          {
            ...axis,
            size: 26,
            label: undefined,
            values: (_plot, ticks) =>
              ticks.map((tick) =>
                xs.length < 200 && !Number.isInteger(tick) && xLabel !== "seconds" ? "" : metricText(tick),
              ),
          },
          { ...axis, size: 54, values: (_plot, ticks) => ticks.map((tick) => metricText(tick)) },
        ],
        series: [
          { label: xLabel },
          ...lines.map((line, at) => ({
            label: line.label,
            stroke: strokes[at % strokes.length],
            width: 1.75,
            points: { show: points || xs.length < 3, size: 6, fill: color("--ground") },
            spanGaps: true,
          })),
        ],
      },
      [
        [...xs],
        ...lines.map((line) => line.values.map((value) => (value !== null && Number.isFinite(value) ? value : null))),
      ],
      place,
    );
    return () => plot.destroy();
  }, [xs, lines, xLabel, width, height, points, scheme]);
  return (
    <figure className={classes.figure}>
      <div ref={ref} className={classes.chart} style={{ height }} role="img" aria-label={label}>
        <div ref={target} />
      </div>
      <figcaption className={classes.legend} aria-hidden="true">
        {lines.length > 1 &&
          lines.map((line, at) => (
            <span key={line.label}>
              <i style={{ background: `var(${STROKES[at % STROKES.length]})` }} />
              {shown(line.label)}
            </span>
          ))}
        <span className={classes.along}>{xLabel}</span>
      </figcaption>
    </figure>
  );
}
