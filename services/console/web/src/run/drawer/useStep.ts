import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { views } from "../clients";
import { useRunPage } from "../context";

/** Everything about a step, asked for again whenever the run has moved on, at most once a second. */
export function useStep(path: string) {
  const { runId, seq, live } = useRunPage();
  // A step of a run that goes on is asked for at the run's pace, not at that of each event.
  const second = seq === undefined ? Math.floor(Number(live.timeUs) / 1_000_000) : 0;
  return useQuery({
    queryKey: ["step", runId, path, seq ?? "live", second, String(seq === undefined ? live.run?.status : "")],
    queryFn: ({ signal }) =>
      views.getStep({ runId, path, moment: { at: { case: "seq", value: BigInt(seq ?? 0) } } }, { signal }),
    placeholderData: keepPreviousData,
    staleTime: seq === undefined ? 1_000 : Number.POSITIVE_INFINITY,
  });
}
