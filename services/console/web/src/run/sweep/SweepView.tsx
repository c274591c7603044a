import { Button, Select } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Commanding } from "../../common/Commanding";
import { StatusMark } from "../../common/StatusMark";
import { EmptyState, ErrorState, LoadingState } from "../../common/states";
import { counted, shown } from "../../common/text";
import { Goal } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { Chart } from "../charts/Chart";
import { metricText } from "../charts/format";
import { views } from "../clients";
import { useRunPage } from "../context";
import { CommandDialog } from "../header/Actions";
import { hasEnded } from "../model/counts";
import { Parallel } from "./Parallel";
import classes from "./Sweep.module.css";
import {
  type Axis,
  axesOf,
  type Brushes,
  bestOf,
  bestSoFar,
  brushed,
  importance,
  rungsOf,
  sweepOf,
  type Trial,
  trialOf,
} from "./sweep";

const MOST = 2_000;
const QUIET_MS = 3_000;

/** A search through a space: which points were tried, which were stopped, and which are the best. */
export function SweepView() {
  const { graph, overlay, view, runId, seq, live } = useRunPage();
  const nodes = useMemo(() => [...(graph?.byName.values() ?? [])].filter((node) => sweepOf(node)), [graph]);
  const [name, setName] = useState("");
  const node = nodes.find((entry) => entry.name === name) ?? nodes[0];
  const sweep = node && sweepOf(node);
  const state = node && overlay.get(node.name)?.block;
  const block = state?.path ?? "";
  const ended = hasEnded(state?.status ?? 0);
  const metrics = useQuery({
    queryKey: ["sweep-metrics", runId, block, Math.floor(Number(live.timeUs) / 5_000_000)],
    queryFn: ({ signal }) => views.getCells({ runId, block, count: 1n }, { signal }),
    enabled: block !== "",
    placeholderData: keepPreviousData,
  });
  const [chosen, setChosen] = useState("");
  const names = metrics.data?.metrics ?? [];
  const metric = chosen || sweep?.earlyStopping?.metric || names[0] || "";
  const goal = sweep?.earlyStopping?.goal ?? Goal.MINIMIZE;
  const cells = useQuery({
    queryKey: ["trials", runId, block, metric, seq ?? Math.floor(Number(live.timeUs) / 1_500_000), ended],
    queryFn: ({ signal }) => listTrials(runId, block, metric, seq, signal),
    // What happens late in a while is in no later one when the run falls silent.
    refetchInterval: seq === undefined && !ended && QUIET_MS,
    enabled: block !== "" && metrics.data !== undefined,
    placeholderData: keepPreviousData,
  });
  if (node === undefined || sweep === undefined) return <EmptyState title="This workflow searches through no space" />;
  if (block === "") return <EmptyState title="The search has not begun" />;
  if (cells.error && !cells.data) return <ErrorState error={cells.error} retry={() => void cells.refetch()} />;
  if (!cells.data) return <LoadingState label="Loading the trials" />;
  const stopping = sweep.earlyStopping;
  return (
    <div className={classes.view}>
      <div className={classes.bar}>
        {nodes.length > 1 && (
          <Select
            aria-label="Sweep"
            data={nodes.map((entry) => entry.name)}
            value={node.name}
            onChange={(value) => setName(value ?? "")}
            allowDeselect={false}
          />
        )}
        <Select
          aria-label="Metric"
          placeholder="No metric yet"
          data={[...new Set([...names, ...(metric ? [metric] : [])])]}
          value={metric || null}
          onChange={(value) => setChosen(value ?? "")}
          allowDeselect={false}
        />
        <span className={classes.note}>
          {goal === Goal.MAXIMIZE ? "Larger is better" : "Smaller is better"}
          {stopping?.rule.case === "halving" &&
            `, stopped early by successive halving: rungs ${rungsOf(stopping, 1e6).slice(0, 6).join(", ")}…`}
          {stopping?.rule.case === "median" && ", stopped early by the median rule"}
        </span>
        <SweepActions path={block} status={view.blocks.find((entry) => entry.path === block)?.status ?? 0} />
      </div>
      <Trials trials={cells.data.trials} total={cells.data.total} metric={metric} goal={goal} />
    </div>
  );
}

async function listTrials(runId: string, block: string, metric: string, seq: number | undefined, signal: AbortSignal) {
  const trials: Trial[] = [];
  let pageToken = "";
  let total = 0;
  do {
    const page = await views.listCells(
      { runId, block, metric, pageSize: 1_000, pageToken, moment: { at: { case: "seq", value: BigInt(seq ?? 0) } } },
      { signal },
    );
    trials.push(...page.cells.map(trialOf));
    total = Number(page.matches);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && trials.length < MOST);
  return { trials, total };
}

function SweepActions({ path, status }: { path: string; status: number }) {
  const { live, seq } = useRunPage();
  const [open, setOpen] = useState(false);
  if (hasEnded(status) || seq !== undefined || live.run === undefined) return null;
  return (
    <>
      <Commanding command="CancelRun">
        <Button variant="default" onClick={() => setOpen(true)}>
          Cancel the sweep
        </Button>
      </Commanding>
      {open && <CommandDialog name="cancel" run={live.run} path={path} close={() => setOpen(false)} />}
    </>
  );
}

interface TrialsProps {
  trials: readonly Trial[];
  total: number;
  metric: string;
  goal: Goal;
}

function Trials({ trials, total, metric, goal }: TrialsProps) {
  const [brushes, setBrushes] = useState<Brushes>({});
  const [pointed, setPointed] = useState<number>();
  const axes = useMemo(() => axesOf(trials, metric), [trials, metric]);
  const kept = useMemo(
    () => trials.filter((trial) => brushed(trial, axes, metric, brushes)),
    [trials, axes, metric, brushes],
  );
  const best = useMemo(() => bestOf(trials, goal), [trials, goal]);
  const course = useMemo(() => bestSoFar(trials, goal), [trials, goal]);
  return (
    <>
      <section className={classes.card} aria-label="Parallel coordinates">
        <Parallel
          trials={trials}
          axes={axes}
          metric={metric}
          goal={goal}
          brushes={brushes}
          onBrush={(name, brush) =>
            setBrushes((before) => {
              const { [name]: _gone, ...rest } = before;
              return brush ? { ...rest, [name]: brush } : rest;
            })
          }
          best={best?.index}
          pointed={pointed}
          onPoint={setPointed}
        />
      </section>
      <div className={classes.columns}>
        <section className={classes.card}>
          <h3>Best so far</h3>
          {course.length > 0 ? (
            <Chart
              xs={course.map((entry) => entry.at)}
              lines={[
                { label: "best", values: course.map((entry) => entry.best) },
                { label: metric, values: course.map((entry) => entry.metric) },
              ]}
              xLabel="trials that have ended"
              points
              label={`Best ${metric} after each trial, now ${metricText(course.at(-1)?.best)}`}
            />
          ) : (
            <p className={classes.note}>No trial has ended with a value yet.</p>
          )}
        </section>
        <section className={classes.card}>
          <h3>What the metric goes with</h3>
          <Importance trials={trials} axes={axes} metric={metric} />
        </section>
      </div>
      <section className={classes.card}>
        <h3>
          {kept.length === trials.length ? counted(total, "trial") : `${kept.length} of ${counted(total, "trial")}`}
          {total > trials.length && <span> (the first {trials.length} are drawn)</span>}
        </h3>
        <TrialTable trials={kept} axes={axes} metric={metric} goal={goal} best={best?.index} onPoint={setPointed} />
      </section>
    </>
  );
}

function Importance({ trials, axes, metric }: { trials: readonly Trial[]; axes: readonly Axis[]; metric: string }) {
  const bars = axes
    .filter((axis) => axis.name !== metric)
    .flatMap((axis) => {
      const share = importance(trials, axis, metric);
      return share === undefined ? [] : [{ name: axis.name, share }];
    })
    .sort((one, other) => other.share - one.share);
  if (bars.length === 0) return <p className={classes.note}>Four trials with values are needed to tell.</p>;
  return (
    <ul className={classes.bars}>
      {bars.map((bar) => (
        <li key={bar.name}>
          <span>{shown(bar.name)}</span>
          <i>
            <b style={{ width: `${bar.share * 100}%` }} />
          </i>
          <em>{Math.round(bar.share * 100)} %</em>
        </li>
      ))}
    </ul>
  );
}

interface TableProps {
  trials: readonly Trial[];
  axes: readonly Axis[];
  metric: string;
  goal: Goal;
  best: number | undefined;
  onPoint: (index: number | undefined) => void;
}

const ROWS = 200;

function TrialTable({ trials, axes, metric, goal, best, onPoint }: TableProps) {
  const { go, live, seq } = useRunPage();
  const [stopping, setStopping] = useState("");
  const sign = goal === Goal.MAXIMIZE ? -1 : 1;
  const sorted = [...trials].sort((one, other) => {
    if (one.stopped !== other.stopped) return one.stopped ? 1 : -1;
    if (one.metric === undefined || other.metric === undefined)
      return Number(one.metric === undefined) - Number(other.metric === undefined);
    return sign * (one.metric - other.metric);
  });
  const own = axes.filter((axis) => axis.name !== metric);
  return (
    <div className={classes.scroll}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th>Trial</th>
            <th>{shown(metric)}</th>
            {own.map((axis) => (
              <th key={axis.name}>{shown(axis.name)}</th>
            ))}
            <th aria-label="Actions" />
          </tr>
        </thead>
        <tbody>
          {sorted.slice(0, ROWS).map((trial) => (
            <tr
              key={trial.index}
              data-stopped={trial.stopped}
              data-best={trial.index === best}
              onPointerEnter={() => onPoint(trial.index)}
              onPointerLeave={() => onPoint(undefined)}
            >
              <td>
                <button type="button" disabled={trial.path === ""} onClick={() => go({ step: trial.path })}>
                  <StatusMark status={trial.status || 1} size={12} /> {trial.index}
                  {trial.index === best && <mark>best</mark>}
                  {trial.stopped && <span className={classes.note}>stopped early</span>}
                </button>
              </td>
              <td>{metricText(trial.metric)}</td>
              {own.map((axis) => {
                const value = trial.point[axis.name];
                return (
                  <td key={axis.name}>
                    {typeof value === "number" ? metricText(value) : shown(value === undefined ? "" : String(value))}
                  </td>
                );
              })}
              <td>
                {seq === undefined && trial.path !== "" && !hasEnded(trial.status) && (
                  <Commanding command="CancelRun">
                    <Button variant="subtle" size="compact-xs" onClick={() => setStopping(trial.path)}>
                      Cancel
                    </Button>
                  </Commanding>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {sorted.length > ROWS && <p className={classes.note}>The best {ROWS} are listed. The heatmap has all.</p>}
      {stopping !== "" && live.run && (
        <CommandDialog name="cancel" run={live.run} path={stopping} close={() => setStopping("")} />
      )}
    </div>
  );
}
