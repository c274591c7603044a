import { ActionIcon, Tabs, Tooltip } from "@mantine/core";
import { IconArrowsDiagonal, IconX } from "@tabler/icons-react";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { faultOf } from "../../api/fault";
import { byKeyboard, useReturnedFocus } from "../../common/focus";
import { StatusLabel } from "../../common/StatusMark";
import { EmptyState, ErrorState, LoadingState } from "../../common/states";
import { shown } from "../../common/text";
import { LogView } from "../../logs/LogView";
import { DRAWER, useRunPage } from "../context";
import { hasEnded } from "../model/counts";
import { nodeName, parsePath, scopeOf } from "../model/paths";
import type { Panel } from "../search";
import { BlockPanel } from "./BlockPanel";
import { CellPanel } from "./CellPanel";
import classes from "./Drawer.module.css";
import { FoldedPanel } from "./FoldedPanel";
import { StepMetrics } from "./StepMetrics";
import { StepActions, StepOverview } from "./StepOverview";
import { stepWord } from "./stepWord";
import { useStep } from "./useStep";
import { WholeRun } from "./WholeRun";

/** Everything about one step or block, beside what it belongs to. */
export function Drawer({ narrow, definitionFailed }: { narrow: boolean; definitionFailed: boolean }) {
  const { search, go, graph } = useRunPage();
  const [wide, setWide] = useState(false);
  const panel = useRef<HTMLElement>(null);
  useReturnedFocus();
  const path = search.step;
  const node = graph?.byName.get(nodeName(path));
  const segments = parsePath(path);
  const folded = segments.some((part) => part.cell === "[]");
  const cell = (segments.at(-1)?.cell ?? "") !== "";
  // biome-ignore lint/correctness/useExhaustiveDependencies: another path is another drawer.
  useEffect(() => {
    panel.current?.scrollTo({ top: 0 });
  }, [path]);
  // Who comes by the keyboard goes on in the drawer.
  useEffect(() => {
    if (byKeyboard()) panel.current?.focus();
  }, []);
  const close = (): void => go({ step: "", line: "", panel: "overview" });
  return (
    <aside
      ref={panel}
      id={DRAWER}
      tabIndex={-1}
      className={classes.drawer}
      data-narrow={narrow}
      data-wide={wide}
      aria-label={`Details of ${path}`}
      onKeyDown={(event: KeyboardEvent) => event.key === "Escape" && close()}
    >
      <header className={classes.head}>
        <div className={classes.where}>
          <Crumbs path={path} />
          <h2>{shown((cell ? path.split("/").at(-1) : nodeName(path)) || path)}</h2>
        </div>
        {!narrow && (
          <Tooltip label={wide ? "Narrower" : "Wider"}>
            <ActionIcon aria-label={wide ? "Narrower" : "Wider"} onClick={() => setWide(!wide)}>
              <IconArrowsDiagonal size={15} />
            </ActionIcon>
          </Tooltip>
        )}
        <ActionIcon aria-label="Close" onClick={close}>
          <IconX size={16} />
        </ActionIcon>
      </header>
      {folded ? (
        <FoldedPanel path={path} />
      ) : cell ? (
        <CellPanel path={path} />
      ) : graph === undefined && !definitionFailed ? (
        <LoadingState label="Loading the definition" />
      ) : node !== undefined && node.kind !== "step" ? (
        <BlockPanel path={path} node={node} />
      ) : (
        <StepPanel key={path} path={path} known={node !== undefined} />
      )}
    </aside>
  );
}

/** The way to a step, each part of it a place to go to. */
function Crumbs({ path }: { path: string }) {
  const { go } = useRunPage();
  const around = scopeOf(path);
  if (around === "") return null;
  const segments = around.split("/").filter((part) => part !== "");
  return (
    <nav className={classes.crumbs} aria-label="Around it">
      {segments.map((part, at) => {
        const block = segments
          .slice(0, at)
          .concat(part.replace(/(\[[^\]]*\]|#\d+|=[^/]+)$/, ""))
          .join("/");
        return (
          <button key={block + part} type="button" onClick={() => go({ step: block })}>
            {shown(part)}
          </button>
        );
      })}
    </nav>
  );
}

function StepPanel({ path, known }: { path: string; known: boolean }) {
  const { search, go, runId, seq, view } = useRunPage();
  const step = useStep(path);
  const data = step.data;
  // Of a run that has ended, a cell that is not there never was: an address names it that is wrong.
  const mayCome = known && !(hasEnded(view.run?.status ?? 0) && path.includes("["));
  if (mayCome && !data && step.error && faultOf(step.error).kind === "missing")
    return <EmptyState title="Not started">What this step stands in has not begun, or not come to it.</EmptyState>;
  if (step.error && !data)
    return <ErrorState error={step.error} retry={() => void step.refetch()} ways={<WholeRun />} />;
  if (!data?.step) return <LoadingState label="Loading the step" />;
  return (
    <>
      <div className={classes.status}>
        <StatusLabel status={data.step.status} word={stepWord(data.step.status, data.attempts.length)} />
        {seq === undefined && <StepActions step={data.step} />}
      </div>
      <Tabs
        value={search.panel}
        onChange={(panel) => go({ panel: panel as Panel }, { replace: true })}
        keepMounted={false}
      >
        <Tabs.List px="md">
          <Tabs.Tab value="overview">Overview</Tabs.Tab>
          <Tabs.Tab value="logs">Logs</Tabs.Tab>
          <Tabs.Tab value="metrics">Metrics{data.metrics.length > 0 && ` ${data.metrics.length}`}</Tabs.Tab>
        </Tabs.List>
      </Tabs>
      {search.panel === "overview" && <StepOverview data={data} />}
      {search.panel === "logs" && (
        <LogView
          runId={runId}
          path={path}
          attempts={data.attempts}
          untilUs={seq === undefined ? undefined : Number(view.timeUs) + 1}
          line={search.line}
          over={hasEnded(data.step.status)}
          onLine={(line) => go({ line }, { replace: true })}
        />
      )}
      {search.panel === "metrics" && <StepMetrics series={data.metrics} />}
    </>
  );
}
