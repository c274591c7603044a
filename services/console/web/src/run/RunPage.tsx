import { useQuery } from "@tanstack/react-query";
import { runs } from "../api/transport";
import { StatusLabel, StatusMark } from "../shared/StatusMark";
import { ErrorState, LoadingState } from "../shared/states";
import { Duration, Time } from "../shared/Time";
import { shown } from "../shared/text";
import classes from "./RunPage.module.css";

/** Shows one run with its steps. */
export function RunPage({ runId }: { runId: string }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["run", runId],
    queryFn: ({ signal }) => runs.getRun({ runId }, { signal }),
    refetchInterval: ({ state }) => (state.data?.run?.endTime ? false : 2000),
  });
  if (error && !data) return <ErrorState error={error} retry={refetch} />;
  if (!data?.run) return <LoadingState label="Loading the run" />;
  const { run, steps } = data;
  return (
    <div className={classes.page}>
      <h1>{shown(run.workflow)}</h1>
      <p>
        <StatusLabel status={run.status} /> <Time at={run.createTime} />{" "}
        <Duration from={run.startTime} to={run.endTime} />
      </p>
      <ul className={classes.steps}>
        {steps.map((step) => (
          <li key={step.path}>
            <StatusMark status={step.status} /> {shown(step.path)}
          </li>
        ))}
      </ul>
    </div>
  );
}
