import { queryOptions } from "@tanstack/react-query";
import { views } from "../api/views";
import { workflows } from "../api/workflows";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import type { Workflow } from "../gen/kaonapi/workflow/v1/workflow_service_pb";

/** The current version of every workflow. */
export const workflowsQuery = queryOptions({
  queryKey: ["workflows"],
  queryFn: async ({ signal }) => {
    const found: Workflow[] = [];
    let pageToken = "";
    do {
      const page = await workflows.listWorkflows({ pageToken }, { signal });
      found.push(...page.workflows);
      pageToken = page.nextPageToken;
    } while (pageToken);
    return found;
  },
  staleTime: 30_000,
});

/** Returns the newest runs in whose id, workflow, submitter, parameters or labels the text is found. */
export async function findRuns(text: string, signal: AbortSignal): Promise<Run[]> {
  const { runs: lines } = await views.queryRuns({ filter: { text }, pageSize: 8 }, { signal });
  return lines.flatMap(({ run }) => run ?? []);
}
