import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import { views } from "../api/transport";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import { type Approval, mayAnswer, waitingApprovals } from "./gates";

/** No more runs are looked into: each is a call, if only once for each event that it has. */
export const LOOKED_INTO = 100;

/** The approvals that wait in these runs for one of these roles. A run is looked into again only when it has a new event. */
export function useApprovals(
  active: readonly Run[],
  roles: readonly string[],
): { approvals: Approval[]; loading: boolean } {
  const looked = active.slice(0, LOOKED_INTO);
  const answers = useQueries({
    queries: looked.map((run) => ({
      queryKey: ["approvals", run.runId, String(run.lastSeq)],
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const { view } = await views.getRunView({ runId: run.runId }, { signal });
        return waitingApprovals(run, view?.blocks ?? []);
      },
      staleTime: Number.POSITIVE_INFINITY,
      gcTime: 60_000,
    })),
    combine: (results) => ({
      found: results.flatMap(({ data }) => data ?? []),
      loading: results.some(({ isPending }) => isPending),
    }),
  });
  const approvals = useMemo(() => answers.found.filter(({ gate }) => mayAnswer(gate, roles)), [answers.found, roles]);
  return { approvals, loading: answers.loading };
}
