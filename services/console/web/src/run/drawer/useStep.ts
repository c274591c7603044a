import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { BlockView } from "../../gen/kaonapi/run/v1/run_pb";
import { views } from "../clients";
import { useRunPage } from "../context";
import { hasEnded } from "../model/counts";

const QUIET_MS = 2_000;

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
    // What happens late in a second is in no later one when the run falls silent.
    refetchInterval: ({ state: { data } }) => seq === undefined && !hasEnded(data?.step?.status ?? 0) && QUIET_MS,
  });
}

/** What is in a cell, asked for again as a step is; an empty path is no cell. */
export function useCell(path: string) {
  const { runId, seq, live } = useRunPage();
  return useQuery({
    queryKey: ["cell", runId, path, seq ?? Math.floor(Number(live.timeUs) / 1_000_000)],
    queryFn: ({ signal }) =>
      views.getRunView({ runId, scope: path, moment: { at: { case: "seq", value: BigInt(seq ?? 0) } } }, { signal }),
    placeholderData: keepPreviousData,
    enabled: path !== "",
  });
}

/** A block as it stands; one in a cell is not in the view of the run, and is asked for with its cell. */
export function useBlock(path: string): BlockView | undefined {
  const { view } = useRunPage();
  const cell = useCell(path.slice(0, path.lastIndexOf("]") + 1));
  return [...view.blocks, ...(cell.data?.view?.blocks ?? [])].find((block) => block.path === path);
}
