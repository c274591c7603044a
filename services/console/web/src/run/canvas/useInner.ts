import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { keepPreviousData, useQueries } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { follow } from "../../api/live/live";
import type { RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { RunTopicSchema } from "../../gen/kaonapi/view/v1/watch_pb";
import type { WorkflowDefinition } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { views } from "../clients";
import { useRunPage } from "../context";
import { mergeRun } from "../live/merge";
import { definitionQuery } from "../live/useRun";
import type { GraphModel } from "../model/graph";
import { childrenOf, joined } from "../model/inner";
import type { Overlay } from "../model/overlay";

export interface InnerRuns {
  /** By name of the open sub-workflow: what is in it. */
  readonly definitions: ReadonlyMap<string, WorkflowDefinition>;
  /** Names with versions, which the layout depends on. */
  readonly versions: readonly string[];
  /** The run by which each began. */
  readonly runs: ReadonlyMap<string, string>;
  /** How the nodes stand, those of open sub-workflows among them. */
  readonly overlay: Overlay;
}

/** The runs of the sub-workflows that are open in the drawing: live, or as they were at the moment that is shown. */
export function useInner(graph: GraphModel | undefined): InnerRuns {
  const { overlay, search, seq, view, dragging } = useRunPage();
  const [known, setKnown] = useState<ReadonlyMap<string, RunView>>(new Map());
  const names = search.opened;
  // Those inside of others are known once these are.
  const runs = useMemo(() => childrenOf(names, overlay, known), [names, overlay, known]);
  const ids = [...new Set(runs.values())].sort().join(" ");
  useEffect(() => {
    const leave = ids
      .split(" ")
      .filter(Boolean)
      .map((runId) =>
        follow({ case: "run", value: create(RunTopicSchema, { runId, iterations: 20 }) }, ({ update, snapshot }) => {
          if (update.case !== "run") return;
          const change = update.value;
          setKnown((before) => new Map(before).set(runId, mergeRun(before.get(runId), change, snapshot)));
        }),
      );
    return () => {
      for (const each of leave) each();
    };
  }, [ids]);
  const past = usePast(seq === undefined ? [] : ids.split(" ").filter(Boolean), Number(view.timeUs));
  const found = useDefinitions(graph, runs, known);
  return useMemo(() => {
    const definitions = new Map(found.map(({ name, definition }) => [name, definition]));
    const versions = found.map(({ name, version }) => `${name}@${version}`);
    const shown = seq === undefined ? known : past;
    return { definitions, versions, runs, overlay: dragging ? overlay : joined(overlay, runs, shown) };
  }, [found, known, past, runs, overlay, seq, dragging]);
}

function useDefinitions(
  graph: GraphModel | undefined,
  runs: ReadonlyMap<string, string>,
  known: ReadonlyMap<string, RunView>,
) {
  const wanted = [...runs].flatMap(([name, runId]) => {
    const run = known.get(runId)?.run;
    return run === undefined || graph === undefined ? [] : [{ name, workflow: run.workflow, version: run.version }];
  });
  return useQueries({
    queries: wanted.map(({ workflow, version }) => definitionQuery(workflow, version)),
    combine: (results) =>
      results.flatMap(({ data }, at) =>
        data === undefined
          ? []
          : [{ name: wanted[at]?.name ?? "", version: wanted[at]?.version ?? "", definition: data }],
      ),
  });
}

/** Runs as they were at a time, by their ids. */
function usePast(ids: readonly string[], timeUs: number): ReadonlyMap<string, RunView> {
  return useQueries({
    queries: ids.map((runId) => ({
      queryKey: ["run-at-time", runId, timeUs],
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const at = { case: "time" as const, value: timestampFromMs(timeUs / 1_000) };
        return (await views.getRunView({ runId, moment: { at }, iterations: 20 }, { signal })).view;
      },
      staleTime: Number.POSITIVE_INFINITY,
      placeholderData: keepPreviousData,
    })),
    combine: (results) =>
      new Map(results.flatMap(({ data }, at): [string, RunView][] => (data ? [[ids[at] as string, data]] : []))),
  });
}
