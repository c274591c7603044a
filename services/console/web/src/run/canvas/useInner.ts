import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { keepPreviousData, useQueries } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { follow } from "../../api/live/live";
import type { RunView } from "../../gen/kaonapi/view/v1/run_view_pb";
import { RunTopicSchema } from "../../gen/kaonapi/view/v1/watch_pb";
import type { WorkflowDefinition } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { views } from "../clients";
import { useRunPage } from "../context";
import { mergeRun } from "../live/merge";
import { definitionQuery } from "../live/useRun";
import type { GraphModel } from "../model/graph";
import { childrenOf, chosenCell, joined } from "../model/inner";
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
  const { overlay, search, seq, view, dragging, runId } = useRunPage();
  const names = useMemo(() => search.opened.filter((each) => chosenCell(each) === undefined), [search.opened]);
  const chosen = useChosen(runId, search.opened);
  const [known, follow] = useViews();
  // Those inside of others are known once these are.
  const runs = useMemo(() => childrenOf(names, overlay, known, chosen), [names, overlay, known, chosen]);
  const ids = [...new Set(runs.values())].sort().join(" ");
  useEffect(
    () =>
      follow(
        ids
          .split(" ")
          .filter(Boolean)
          .map((id) => ({ id, runId: id, scope: "" })),
      ),
    [ids, follow],
  );
  const past = usePast(seq === undefined ? [] : ids.split(" ").filter(Boolean), Number(view.timeUs));
  const found = useDefinitions(graph, runs, known);
  return useMemo(() => {
    const definitions = new Map(found.map(({ name, definition }) => [name, definition]));
    const versions = found.map(({ name, version }) => `${name}@${version}`);
    const shown = seq === undefined ? known : past;
    return { definitions, versions, runs, overlay: dragging ? overlay : joined(overlay, runs, shown) };
  }, [found, known, past, runs, overlay, seq, dragging]);
}

interface Part {
  /** Under which its view is kept. */
  readonly id: string;
  readonly runId: string;
  readonly scope: string;
}

/** Views of runs, or of cells, as they change; and what follows them until the function that it returns is called. */
function useViews(): [ReadonlyMap<string, RunView>, (parts: readonly Part[]) => () => void] {
  const [known, setKnown] = useState<ReadonlyMap<string, RunView>>(new Map());
  const followAll = useCallback((parts: readonly Part[]) => {
    const leave = parts.map(({ id, runId, scope }) =>
      follow(
        { case: "run", value: create(RunTopicSchema, { runId, scope, iterations: 20 }) },
        ({ update, snapshot }) => {
          if (update.case !== "run") return;
          const change = update.value;
          setKnown((before) => new Map(before).set(id, mergeRun(before.get(id), change, snapshot)));
        },
      ),
    );
    return () => {
      for (const each of leave) each();
    };
  }, []);
  return [known, followAll];
}

/** By name of a sub-workflow in a foreach: the run of the cell that is chosen. */
function useChosen(runId: string, opened: readonly string[]): ReadonlyMap<string, string> {
  const cells = useMemo(() => opened.flatMap((each) => chosenCell(each) ?? []), [opened]);
  const [known, follow] = useViews();
  useEffect(() => follow(cells.map(({ scope }) => ({ id: scope, runId, scope }))), [cells, runId, follow]);
  return useMemo(
    () =>
      new Map(
        cells.flatMap(({ name, path, scope }): [string, string][] => {
          const child = known.get(scope)?.blocks.find((block) => block.path === path)?.childRunId;
          return child ? [[name, child]] : [];
        }),
      ),
    [cells, known],
  );
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
