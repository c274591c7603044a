import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { runs } from "../api/transport";
import { StatusLabel } from "../shared/StatusMark";
import { ErrorState, LoadingState } from "../shared/states";
import { shown } from "../shared/text";

/** Lists runs. */
export function RunsPage() {
  const { data, error, refetch } = useQuery({
    queryKey: ["runs"],
    queryFn: ({ signal }) => runs.listRuns({}, { signal }),
  });
  if (error) return <ErrorState error={error} retry={refetch} />;
  if (!data) return <LoadingState label="Loading runs" />;
  return (
    <ul>
      {data.runs.map((run) => (
        <li key={run.runId}>
          <StatusLabel status={run.status} />{" "}
          <Link to="/runs/$runId" params={{ runId: run.runId }}>
            {shown(run.workflow)} {run.runId}
          </Link>
        </li>
      ))}
    </ul>
  );
}
