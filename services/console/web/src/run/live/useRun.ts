import { create } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { keepPreviousData, queryOptions, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { codeNamed } from "../../api/code";
import { follow } from "../../api/live/live";
import { workflows } from "../../api/workflows";
import type { RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { CellsTopicSchema, RunTopicSchema, type TopicFailure } from "../../gen/kaonapi/view/v1/watch_pb";
import type { WorkflowDefinition } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { Cells } from "../cells/cells";
import { views } from "../clients";
import { spansOf } from "../timeline/spans";
import { mergeRun } from "./merge";

export interface LiveRun {
  readonly view: RunView | undefined;
  readonly error: unknown;
}

/** A run as it stands, as long as the component is there. */
export function useLiveRun(runId: string): LiveRun {
  const [live, setLive] = useState<LiveRun>({ view: undefined, error: undefined });
  useEffect(() => {
    const topic = create(RunTopicSchema, { runId, iterations: 200 });
    return follow({ case: "run", value: topic }, ({ update, snapshot }) => {
      if (update.case === "run") {
        const change = update.value;
        setLive((known) => ({ view: mergeRun(known.view, change, snapshot), error: undefined }));
      } else if (update.case === "failure") {
        const error = errorOf(update.value);
        setLive((known) => ({ ...known, error }));
      }
    });
  }, [runId]);
  return live;
}

function errorOf(failure: TopicFailure): ConnectError {
  return new ConnectError(failure.message, codeNamed(failure.status));
}

/** A run as it was after an event, with the digest of its state. */
export function useRunAt(runId: string, seq: number | undefined) {
  return useQuery({
    queryKey: ["run-at", runId, seq],
    queryFn: ({ signal }) =>
      views.getRunView(
        { runId, moment: { at: { case: "seq", value: BigInt(seq ?? 0) } }, hash: true, iterations: 200 },
        { signal },
      ),
    enabled: seq !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    placeholderData: keepPreviousData,
  });
}

/** The definition of a version: it never changes. */
export function definitionQuery(name: string | undefined, version: string | undefined) {
  return queryOptions({
    queryKey: ["definition", name, version],
    queryFn: async ({ signal }): Promise<WorkflowDefinition> => {
      const { workflow } = await workflows.getWorkflow({ name, version }, { signal });
      if (workflow?.definition === undefined) throw new Error(`${name} has no definition`);
      return workflow.definition;
    },
    enabled: name !== undefined && version !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: Number.POSITIVE_INFINITY,
  });
}

export function useDefinition(name: string | undefined, version: string | undefined) {
  return useQuery(definitionQuery(name, version));
}

/** How attempts are wanted: drawn as they come, or kept for whoever will drag the scrubber. */
export type SpansFor = "timeline" | "scrubber" | undefined;

const SHORTEST_PAUSE = 1_500;

/** Milliseconds between two looks at the attempts of a run that goes on: the more there are, the more an answer costs everybody. */
export function spansPause(count: number, wanted: SpansFor): number {
  return wanted === "timeline"
    ? count > 20_000
      ? 5_000
      : SHORTEST_PAUSE
    : Math.min(Math.max(SHORTEST_PAUSE, count), 30_000);
}

/**
 * About how many attempts the next answer has: those of a foreach that has just begun come all at once, with two events each, and the page
 * knows the events only. A power of two, for each other number begins the pause anew.
 */
export function expectedSpans(known: { count: number; seq: number }, newest: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, known.count, (newest - known.seq) / 2)));
}

/** All attempts of a run, for timeline and scrubber; asked for again while the run goes on. */
export function useSpans(runId: string, wanted: SpansFor, live: boolean, lastSeq: number) {
  const newest = useRef(lastSeq);
  newest.current = lastSeq;
  return useQuery({
    queryKey: ["spans", runId],
    queryFn: async ({ signal }) => spansOf(await views.getSpans({ runId }, { signal })),
    enabled: wanted !== undefined,
    staleTime: 1_000,
    refetchInterval: ({ state }) => {
      const known = state.data;
      if (known === undefined) return false;
      // One more look, for all that has come.
      if (!live) return known.seq < newest.current && SHORTEST_PAUSE;
      return spansPause(expectedSpans(known, newest.current), wanted);
    },
    structuralSharing: false,
  });
}

/** The cells of a foreach, live, or as they were. `version` changes with them. */
export function useCells(runId: string, block: string, node: string, metric: string, enabled = true) {
  const cells = useRef(new Cells());
  const [version, setVersion] = useState(0);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    if (!enabled || block === "") return;
    const known = new Cells();
    cells.current = known;
    setError(undefined);
    setVersion((before) => before + 1);
    const topic = create(CellsTopicSchema, { runId, block, node, metric });
    return follow({ case: "cells", value: topic }, ({ update, snapshot }) => {
      if (update.case === "failure") setError(errorOf(update.value));
      if (update.case !== "cells" || update.value.columns === undefined) return;
      if (snapshot) known.clear();
      known.apply(update.value.columns, Number(update.value.total));
      setError(undefined);
      setVersion((before) => before + 1);
    });
  }, [runId, block, node, metric, enabled]);
  return { cells: cells.current, version, error };
}
