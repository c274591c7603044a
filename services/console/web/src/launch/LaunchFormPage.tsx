import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { runs } from "../api/runs";
import { launchFormRoute } from "../app/router";
import { LinkButton } from "../common/LinkButton";
import { Below, Page } from "../common/Page";
import { ErrorState, LoadingState } from "../common/states";
import { shortVersion, shown } from "../common/text";
import { LaunchForm } from "./LaunchForm";
import classes from "./LaunchFormPage.module.css";
import { recentRunsQuery, workflowQuery } from "./queries";

/** Launches one workflow. */
export function LaunchFormPage() {
  const { workflow: name } = launchFormRoute.useParams();
  const { from } = launchFormRoute.useSearch();
  const workflow = useQuery(workflowQuery(name));
  const recent = useQuery(recentRunsQuery(name));
  const like = useQuery({
    queryKey: ["like", from],
    enabled: from !== undefined,
    queryFn: async ({ signal }) => (await runs.getRun({ runId: from!, pageSize: 1 }, { signal })).run!,
    staleTime: 60_000,
  });
  const error = workflow.error ?? like.error;
  return (
    <Page
      title={
        <Below to="/launch" above="Launch">
          {shown(name)}
        </Below>
      }
      aside={workflow.data && <code>{shortVersion(workflow.data.version)}</code>}
      actions={
        <Link to="/runs" search={{ workflow: name }} className={classes.runs}>
          Its runs
        </Link>
      }
    >
      {error ? (
        <ErrorState
          error={error}
          retry={() => void workflow.refetch()}
          ways={
            workflow.error ? (
              <LinkButton to="/launch" variant="default">
                All workflows
              </LinkButton>
            ) : (
              <LinkButton to="/launch/$workflow" params={{ workflow: name }} search={{}} variant="default">
                Begin without its values
              </LinkButton>
            )
          }
        />
      ) : !workflow.data || (from !== undefined && !like.data) ? (
        <LoadingState label="Loading the workflow" />
      ) : (
        <>
          {workflow.data.definition?.description && (
            <p className={classes.description}>{shown(workflow.data.definition.description)}</p>
          )}
          <LaunchForm
            key={`${name} ${from ?? ""}`}
            workflow={workflow.data}
            recent={recent.data ?? []}
            like={from === undefined ? undefined : like.data}
          />
        </>
      )}
    </Page>
  );
}
