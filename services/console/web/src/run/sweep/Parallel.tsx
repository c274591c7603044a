import { useElementSize } from "@mantine/hooks";
import { type KeyboardEvent, type PointerEvent, useRef } from "react";
import { clipped, counted, shown } from "../../common/text";
import { Goal } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { metricText } from "../charts/format";
import { Status } from "../model/counts";
import classes from "./Sweep.module.css";
import { type Axis, type Brushes, brushAfter, brushed, placeOn, type Trial, trialValue, valueAt } from "./sweep";

interface Props {
  trials: readonly Trial[];
  axes: readonly Axis[];
  metric: string;
  goal: Goal;
  brushes: Brushes;
  onBrush: (axis: string, brush: [number, number] | undefined) => void;
  best: number | undefined;
  pointed: number | undefined;
  onPoint: (index: number | undefined) => void;
}

const HEIGHT = 300;
const TOP = 34;
const BOTTOM = 18;

/**
 * Each trial as a line across all axes. Drag along an axis to keep what lies within; a click takes that back. By the keyboard each
 * end of what is kept is a slider.
 */
export function Parallel({ trials, axes, metric, goal, brushes, onBrush, best, pointed, onPoint }: Props) {
  const { ref, width } = useElementSize();
  const drag = useRef<{ axis: string; from: number }>(undefined);
  const left = 46;
  // The numbers of the last axis stand beyond it.
  const right = 62;
  const x = (at: number): number =>
    left + (axes.length > 1 ? (at / (axes.length - 1)) * (Math.max(200, width) - left - right) : 0);
  const y = (place: number): number => HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM);
  const placeAt = (event: PointerEvent<SVGRectElement>): number => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, 1 - (event.clientY - box.top) / box.height));
  };
  const line = (trial: Trial): string =>
    axes
      .flatMap((axis, at) => {
        const place = placeOn(axis, trialValue(trial, axis, metric));
        return place === undefined ? [] : [`${x(at)},${y(place)}`];
      })
      .join(" ");
  const goodness = (trial: Trial): number => {
    const axis = axes.at(-1);
    const place = axis?.name === metric ? placeOn(axis, trial.metric) : undefined;
    if (place === undefined) return 0.2;
    return goal === Goal.MAXIMIZE ? place : 1 - place;
  };
  const drawn = [...trials].sort((one, other) => rank(one, best, pointed) - rank(other, best, pointed));
  return (
    <div ref={ref} className={classes.parallel}>
      <svg
        width={Math.max(200, width)}
        height={HEIGHT}
        role="group"
        aria-label={`${counted(trials.length, "trial")} across ${counted(axes.length, "axis", "axes")}. The table below has the same.`}
      >
        {drawn.map((trial) => {
          const kept = brushed(trial, axes, metric, brushes);
          return (
            <polyline
              key={trial.index}
              points={line(trial)}
              className={classes.trial}
              data-kept={kept}
              data-stopped={trial.stopped}
              data-running={trial.status === Status.RUNNING}
              data-failed={trial.status === Status.FAILED}
              data-best={trial.index === best}
              data-pointed={trial.index === pointed}
              style={
                kept && !trial.stopped && trial.index !== best && trial.index !== pointed
                  ? { strokeOpacity: 0.25 + 0.6 * goodness(trial) ** 2 }
                  : undefined
              }
              onPointerEnter={() => onPoint(trial.index)}
              onPointerLeave={() => onPoint(undefined)}
            />
          );
        })}
        {axes.map((axis, at) => {
          const brush = brushes[axis.name];
          return (
            <g key={axis.name} transform={`translate(${x(at)},0)`}>
              <line className={classes.axis} y1={y(1)} y2={y(0)} />
              <text className={classes.axisName} y={14} textAnchor="middle">
                {shown(clipped(axis.name, 18))}
              </text>
              {ticksOf(axis).map((tick) => (
                <text key={tick.place} className={classes.tick} x={7} y={y(tick.place) + 3.5}>
                  {tick.label}
                </text>
              ))}
              {brush && (
                <rect
                  className={classes.brush}
                  x={-7}
                  width={14}
                  y={y(brush[1])}
                  height={Math.max(2, y(brush[0]) - y(brush[1]))}
                />
              )}
              <rect
                className={classes.grab}
                x={-13}
                width={26}
                y={y(1)}
                height={y(0) - y(1)}
                onPointerDown={(event) => {
                  event.currentTarget.setPointerCapture(event.pointerId);
                  drag.current = { axis: axis.name, from: placeAt(event) };
                }}
                onPointerMove={(event) => {
                  const from = drag.current;
                  if (from?.axis !== axis.name) return;
                  const to = placeAt(event);
                  if (Math.abs(to - from.from) > 0.015)
                    onBrush(axis.name, [Math.min(from.from, to), Math.max(from.from, to)]);
                }}
                onPointerUp={(event) => {
                  const from = drag.current;
                  drag.current = undefined;
                  if (from !== undefined && Math.abs(placeAt(event) - from.from) <= 0.015)
                    onBrush(axis.name, undefined);
                }}
              />
              {([0, 1] as const).map((end) => (
                <End
                  key={end}
                  axis={axis}
                  end={end}
                  brush={brush ?? WHOLE}
                  y={y((brush ?? WHOLE)[end])}
                  onBrush={(next) => onBrush(axis.name, next)}
                />
              ))}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

const WHOLE: [number, number] = [0, 1];

interface EndProps {
  axis: Axis;
  /** The lower end of what is kept, or the upper one. */
  end: 0 | 1;
  brush: readonly [number, number];
  y: number;
  onBrush: (brush: [number, number] | undefined) => void;
}

/** One end of what is kept of an axis, for the keyboard. */
function End({ axis, end, brush, y, onBrush }: EndProps) {
  const press = (event: KeyboardEvent): void => {
    const next = brushAfter(brush, end, event.key);
    if (next === undefined) return;
    event.preventDefault();
    onBrush(next[0] <= 0 && next[1] >= 1 ? undefined : next);
  };
  const place = brush[end];
  return (
    <path
      className={classes.end}
      d={end === 0 ? "M-8,0h16l-8,8z" : "M-8,0h16l-8,-8z"}
      transform={`translate(0,${y})`}
      role="slider"
      tabIndex={0}
      aria-orientation="vertical"
      aria-label={`${axis.name}: kept ${end === 0 ? "from" : "up to"}`}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(place * 100)}
      aria-valuetext={textAt(axis, place)}
      onKeyDown={press}
    />
  );
}

function textAt(axis: Axis, place: number): string {
  if (axis.names.length === 0) return metricText(Number(valueAt(axis, place).toPrecision(3)));
  return axis.names[Math.round(place * (axis.names.length - 1))] ?? "";
}

/** Stopped ones lie below, the best and the one that is pointed at on top. */
function rank(trial: Trial, best: number | undefined, pointed: number | undefined): number {
  if (trial.index === pointed) return 3;
  if (trial.index === best) return 2;
  return trial.stopped ? 0 : 1;
}

function ticksOf(axis: Axis): { place: number; label: string }[] {
  if (axis.names.length > 0) {
    const step = Math.ceil(axis.names.length / 12);
    return axis.names.flatMap((name, at) =>
      at % step === 0 ? [{ place: placeOn(axis, name) ?? 0, label: shown(clipped(name, 12)) }] : [],
    );
  }
  if (axis.low === axis.high) return [{ place: 0.5, label: metricText(axis.low) }];
  return [0, 0.25, 0.5, 0.75, 1].map((place) => ({
    place,
    label: metricText(Number(valueAt(axis, place).toPrecision(3))),
  }));
}
