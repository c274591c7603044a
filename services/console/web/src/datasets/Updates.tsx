import { Link } from "@tanstack/react-router";
import { Time } from "../common/Time";
import { clipped, counted, shortId, shown } from "../common/text";
import type { DatasetUpdate } from "../gen/kaonapi/dataset/v1/dataset_pb";
import classes from "./Datasets.module.css";

/** Who has made an update, in few words: a step, or a person. */
export function Maker({ update: { workflow, path, runId, by } }: { update: DatasetUpdate }) {
  return runId === "" ? `recorded by ${shown(by)}` : `${shown(workflow)} / ${shown(path)}`;
}

/** Runs that are shown of each update; the rest is counted. */
const MOST_RUNS = 5;

/** Updates of one dataset: which run made each, and which runs it started. */
export function Updates({ updates }: { updates: readonly DatasetUpdate[] }) {
  return (
    <table className={classes.updates}>
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">Partition</th>
          <th scope="col">Updated by</th>
          <th scope="col">Outputs</th>
          <th scope="col">Runs started</th>
        </tr>
      </thead>
      <tbody>
        {updates.map((update) => (
          <tr key={String(update.updateId)}>
            <td className={classes.when}>
              <Time at={update.time} format="short" />
            </td>
            <td data-name="Partition">
              {update.partition === "" ? <Whole /> : <code>{shown(update.partition)}</code>}
            </td>
            <td data-name="Updated by">
              <MakerLink update={update} />
            </td>
            <td data-name="Outputs">
              <Outputs values={update.outputsJson} />
            </td>
            <td data-name="Runs started">
              <Started ids={update.startedRunIds} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Whole() {
  return <span className={classes.dim}>as a whole</span>;
}

/** Leads to the step whose success an update is. */
export function MakerLink({ update }: { update: DatasetUpdate }) {
  if (update.runId === "")
    return (
      <span className={classes.dim}>
        <Maker update={update} />
      </span>
    );
  return (
    <Link to="/runs/$runId" params={{ runId: update.runId }} search={{ step: update.path } as never}>
      <Maker update={update} /> <code className={classes.dim}>{shortId(update.runId)}</code>
    </Link>
  );
}

function Outputs({ values }: { values: Readonly<Record<string, string>> }) {
  const names = Object.keys(values).sort();
  if (names.length === 0) return <span className={classes.dim}>none</span>;
  return (
    <ul className={classes.outputs}>
      {names.map((name) => (
        <li key={name} title={shown(clipped(values[name] as string, 2_000))}>
          {shown(name)} <code>{shown(clipped(values[name] as string, 60))}</code>
        </li>
      ))}
    </ul>
  );
}

function Started({ ids }: { ids: readonly string[] }) {
  if (ids.length === 0) return <span className={classes.dim}>none</span>;
  return (
    <ul className={classes.started}>
      {ids.slice(0, MOST_RUNS).map((runId) => (
        <li key={runId}>
          <Link to="/runs/$runId" params={{ runId }}>
            <code>{shortId(runId)}</code>
          </Link>
        </li>
      ))}
      {ids.length > MOST_RUNS && <li className={classes.dim}>and {counted(ids.length - MOST_RUNS, "more run")}</li>}
    </ul>
  );
}
