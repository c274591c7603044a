import { queryOptions } from "@tanstack/react-query";
import { faultOf } from "../api/fault";
import { problemsOf } from "../api/problems";
import { runs } from "../api/runs";
import { views } from "../api/views";
import { workflows } from "../api/workflows";
import { problemsByField } from "./form";

export function workflowQuery(name: string) {
  return queryOptions({
    queryKey: ["workflow", name],
    queryFn: async ({ signal }) => (await workflows.getWorkflow({ name }, { signal })).workflow!,
    staleTime: 30_000,
  });
}

/** The newest runs of a workflow, for the values that they had. */
export function recentRunsQuery(workflow: string) {
  return queryOptions({
    queryKey: ["recent-runs", workflow],
    queryFn: async ({ signal }) => {
      const { runs: lines } = await views.queryRuns({ filter: { workflows: [workflow] }, pageSize: 20 }, { signal });
      return lines.flatMap(({ run }) => run ?? []);
    },
    staleTime: 10_000,
  });
}

export interface Submission {
  readonly workflow: string;
  readonly version: string;
  readonly paramsJson: Record<string, string>;
  readonly labels: Record<string, string>;
  readonly priority: number;
}

/** Asks the server whether it would take a submission. Nothing is stored. Returns what is wrong, by parameter. */
export function checkQuery(submission: Submission, enabled: boolean) {
  return queryOptions({
    queryKey: ["check", submission],
    enabled,
    retry: false,
    staleTime: 60_000,
    queryFn: async ({ signal }): Promise<Record<string, string>> => {
      try {
        await runs.submitRun({ ...submission, validateOnly: true }, { signal });
        return {};
      } catch (error) {
        if (faultOf(error).kind !== "refused") throw error;
        return refusalOf(error);
      }
    },
  });
}

/** Returns what the server refuses, by parameter; under "" what belongs to none. */
export function refusalOf(error: unknown): Record<string, string> {
  const { kind, message } = faultOf(error);
  if (kind === "signed-out") return { "": "Your session has ended. Sign in in another tab, then launch." };
  const problems = problemsByField(problemsOf(error));
  return Object.keys(problems).length > 0 ? problems : { "": message };
}
