import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { views } from "../api/views";
import type { Approval } from "./gates";

/** So long after runs have changed approvals are asked for: many changes are one question. */
const SETTLE_MS = 400;

/** The approvals that wait for one of my roles, of all runs; asked for anew when `changed` changes. */
export function useApprovals(changed: number): { approvals: readonly Approval[]; more: boolean; loading: boolean } {
  const { data, isPending, refetch } = useQuery({
    queryKey: ["approvals"],
    queryFn: ({ signal }) => views.listGates({ kinds: ["approval"], answerable: true }, { signal }),
    select: ({ gates, more }) => ({
      more,
      approvals: gates.flatMap(({ line, gate }) => (line?.run && gate ? [{ run: line.run, gate }] : [])),
    }),
    refetchInterval: 30_000,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: a change is why it is asked for
  useEffect(() => {
    const timer = setTimeout(() => void refetch(), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [changed, refetch]);
  return { approvals: data?.approvals ?? [], more: data?.more ?? false, loading: isPending };
}
