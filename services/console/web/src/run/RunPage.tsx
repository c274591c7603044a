import { Button, Tabs } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import {
  IconAdjustmentsHorizontal,
  IconChartBar,
  IconCode,
  IconListDetails,
  IconPackageExport,
  IconSchema,
} from "@tabler/icons-react";
import { lazy, memo, Suspense, useEffect, useMemo, useState } from "react";
import { wakeLive } from "../api/live/live";
import { useSession } from "../api/session";
import { useShortcut } from "../app/keys/shortcuts";
import { LinkButton } from "../common/LinkButton";
import { Below, Page } from "../common/Page";
import { ErrorState, LoadingState } from "../common/states";
import { statusLook } from "../common/status";
import { clipped, shown } from "../common/text";
import type { WorkflowDefinition } from "../gen/kaonapi/workflow/v1/definition_pb";
import { Canvas } from "./canvas/Canvas";
import { RunPageContext, type RunPageState, useRunPage } from "./context";
import { Drawer } from "./drawer/Drawer";
import { RunHeader } from "./header/RunHeader";
import { useDefinition, useLiveRun, useRunAt, useSpans } from "./live/useRun";
import { type GraphModel, graphModel, NODE_LIMIT } from "./model/graph";
import { overlay, passesOf } from "./model/overlay";
import { nodeName } from "./model/paths";
import { Notices } from "./notices";
import classes from "./RunPage.module.css";
import { Scrubber } from "./scrub/Scrubber";
import { useScrub } from "./scrub/useScrub";
import { type Go, type Tab, useRunSearch } from "./search";
import { sweepOf } from "./sweep/sweep";

const CellsView = lazy(() => import("./cells/CellsView").then((module) => ({ default: module.CellsView })));
const TimelineView = lazy(() => import("./timeline/TimelineView").then((module) => ({ default: module.TimelineView })));
const EventsView = lazy(() => import("./events/EventsView").then((module) => ({ default: module.EventsView })));
const OutputsView = lazy(() => import("./outputs/OutputsView").then((module) => ({ default: module.OutputsView })));
const CodeView = lazy(() => import("./code/CodeView").then((module) => ({ default: module.CodeView })));
const SweepView = lazy(() => import("./sweep/SweepView").then((module) => ({ default: module.SweepView })));

/** Shows one run: live, or as it was after any of its events. */
export function RunPage({ runId }: { runId: string }) {
  const { view: live, error } = useLiveRun(runId);
  const [search, go] = useRunSearch();
  const run = live?.run;
  const definition = useDefinition(run?.workflow, run?.version);
  const past = useRunAt(runId, search.seq);
  const graph = usePart(definition.data, nodeName(search.step));
  const view = search.seq === undefined ? live : (past.data?.view ?? live);
  // The drawing shows the iterations of what the drawer shows, unless somebody chooses others.
  const passes = useMemo(() => ({ ...passesOf(search.step), ...search.passes }), [search.step, search.passes]);
  const states = useMemo(() => (view ? overlay(view, passes) : new Map()), [view, passes]);
  if (error && !live)
    return (
      <Page
        title={
          <Below to="/runs" above="Runs">
            {shown(clipped(runId, 40))}
          </Below>
        }
      >
        <ErrorState error={error} retry={() => wakeLive()} ways={<OtherRuns runId={runId} />} />
      </Page>
    );
  if (!live || !view) return <LoadingState label="Loading the run" />;
  const state: RunPageState = {
    runId,
    view,
    live,
    definition: definition.data,
    graph,
    overlay: states,
    search,
    go,
    seq: search.seq,
  };
  return (
    <RunPageContext.Provider value={state}>
      <RunBody definitionError={definition.error} pastError={past.error} />
    </RunPageContext.Provider>
  );
}

/** The graph of a definition; of one that is too large to be drawn, the part around what was last looked for. */
function usePart(definition: WorkflowDefinition | undefined, wanted: string): GraphModel | undefined {
  const [around, setAround] = useState("");
  const graph = useMemo(
    () => definition && graphModel(definition, NODE_LIMIT, undefined, around),
    [definition, around],
  );
  const missing = graph !== undefined && graph.omitted > 0 && wanted !== "" && !graph.byName.has(wanted);
  useEffect(() => {
    if (missing) setAround(wanted);
  }, [missing, wanted]);
  return graph;
}

/** Where to look for a run that is not there. */
function OtherRuns({ runId }: { runId: string }) {
  const { tenant } = useSession();
  return (
    <>
      <LinkButton to="/runs" variant="default">
        All runs
      </LinkButton>
      <LinkButton to="/runs" search={{ text: runId } as never} variant="default">
        Search for {shown(clipped(runId, 40))}
      </LinkButton>
      <p className={classes.tenant}>
        You see the runs of tenant <b>{shown(tenant)}</b>: one of another tenant is not found here, and old runs are
        deleted.
      </p>
    </>
  );
}

/** What is left of a run whose definition is gone. */
function ToEvents({ go }: { go: Go }) {
  return (
    <Button variant="default" onClick={() => go({ tab: "events", cells: "" })}>
      Show its events
    </Button>
  );
}

function RunBody({ definitionError, pastError }: { definitionError: unknown; pastError: unknown }) {
  const page = useRunPage();
  const { search, go, live, runId } = page;
  const { ref, width } = useElementSize();
  const running = live.run !== undefined && !statusLook(live.run.status).terminal;
  const lastSeq = Number(live.run?.lastSeq ?? 0n);
  const wanted = search.tab === "timeline" ? "timeline" : search.tab === "graph" ? "scrubber" : undefined;
  const spans = useSpans(runId, wanted, running, lastSeq);
  const scrub = useScrub(spans.data);
  const dragging = scrub.dragged !== undefined;
  const { refetch } = spans;
  // What has come since the last look is dragged over, too.
  useEffect(() => {
    if (dragging && running) void refetch();
  }, [dragging, running, refetch]);
  const scrubbed = useMemo(
    () => (scrub.overlay ? { ...page, overlay: scrub.overlay, dragging: true } : page),
    [page, scrub.overlay],
  );
  const narrow = width > 0 && width < 900;
  return (
    <div className={classes.page} ref={ref}>
      <RunHeader />
      <TabBar tab={search.tab} go={go} graph={page.graph} />
      {pastError !== null && (
        <ErrorState
          error={pastError}
          ways={
            <Button variant="default" onClick={() => go({ seq: undefined })}>
              Show the run as it is now
            </Button>
          }
        />
      )}
      <div className={classes.body} data-narrow={narrow}>
        <div className={classes.main}>
          <RunPageContext.Provider value={scrubbed}>
            <Suspense fallback={<LoadingState />}>
              <TabBody definitionError={definitionError} spans={spans} scrub={scrub} />
            </Suspense>
          </RunPageContext.Provider>
          {(search.tab === "graph" || search.tab === "timeline") && <Scrubber scrub={scrub} spans={spans.data} />}
        </div>
        {search.step !== "" && <Drawer narrow={narrow} definitionFailed={definitionError !== null} />}
      </div>
      <Notices />
    </div>
  );
}

const TAB_LOOKS: readonly { tab: Tab; label: string; icon: typeof IconCode }[] = [
  { tab: "graph", label: "Graph", icon: IconSchema },
  { tab: "timeline", label: "Timeline", icon: IconChartBar },
  { tab: "sweep", label: "Sweep", icon: IconAdjustmentsHorizontal },
  { tab: "events", label: "Events", icon: IconListDetails },
  { tab: "outputs", label: "Outputs", icon: IconPackageExport },
  { tab: "code", label: "Code", icon: IconCode },
];

/** A digit leads to each tab, in the order in which they stand. */
function TabKey({ at, tab, label, go }: { at: number; tab: Tab; label: string; go: Go }) {
  useShortcut(String(at + 1), `Show the ${label.toLowerCase()}`, () => go({ tab, cells: "" }));
  return null;
}

interface TabBarProps {
  tab: Tab;
  go: Go;
  graph: GraphModel | undefined;
}

/** Apart from what changes with every event. */
const TabBar = memo(function TabBar({ tab: open, go, graph }: TabBarProps) {
  const sweeps = useMemo(() => (graph ? [...graph.byName.values()].filter((node) => sweepOf(node)) : []), [graph]);
  const shown = TAB_LOOKS.filter(({ tab }) => tab !== "sweep" || sweeps.length > 0);
  return (
    <Tabs
      value={open}
      onChange={(tab) => go({ tab: (tab as Tab) ?? "graph", cells: "" })}
      className={classes.tabs}
      keepMounted={false}
    >
      <Tabs.List>
        {shown.map(({ tab, label, icon: Icon }) => (
          <Tabs.Tab key={tab} value={tab} leftSection={<Icon size={14} stroke={1.7} aria-hidden="true" />}>
            {label}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {shown.map(({ tab, label }, at) => (
        <TabKey key={tab} at={at} tab={tab} label={label} go={go} />
      ))}
    </Tabs>
  );
});

interface TabBodyProps {
  definitionError: unknown;
  spans: ReturnType<typeof useSpans>;
  scrub: ReturnType<typeof useScrub>;
}

function TabBody({ definitionError, spans, scrub }: TabBodyProps) {
  const { search, graph, go } = useRunPage();
  switch (search.tab) {
    case "timeline":
      return <TimelineView spans={spans} scrub={scrub} />;
    case "events":
      return <EventsView />;
    case "outputs":
      return <OutputsView />;
    case "code":
      return definitionError ? <ErrorState error={definitionError} ways={<ToEvents go={go} />} /> : <CodeView />;
    case "sweep":
      return <SweepView />;
    case "graph":
      if (search.cells !== "") return <CellsView scrub={scrub} />;
      if (definitionError) return <ErrorState error={definitionError} ways={<ToEvents go={go} />} />;
      return graph ? <Canvas /> : <LoadingState label="Loading the definition" />;
  }
}
