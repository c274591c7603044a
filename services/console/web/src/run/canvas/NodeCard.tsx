import { UnstyledButton } from "@mantine/core";
import {
  IconArrowsSplit,
  IconBox,
  IconBoxMultiple,
  IconBraces,
  IconBrandDocker,
  IconBrandPython,
  IconChevronDown,
  IconChevronRight,
  IconClockPause,
  IconDatabase,
  IconGridDots,
  IconHierarchy,
  IconHourglassEmpty,
  IconRepeat,
  IconRocket,
  IconSignature,
  IconSitemap,
  IconSpeakerphone,
  IconTerminal2,
} from "@tabler/icons-react";
import type { NodeProps } from "@xyflow/react";
import { memo } from "react";
import { StatusMark } from "../../common/StatusMark";
import { statusLook } from "../../common/status";
import { Duration } from "../../common/Time";
import { clipped, counted, formatCount, shown } from "../../common/text";
import { formatDuration } from "../../common/time";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { sum } from "../model/counts";
import type { GraphNode } from "../model/graph";
import type { ChosenCell } from "../model/inner";
import type { NodeState } from "../model/overlay";
import { StatusBar } from "../StatusBar";
import { CellStepper } from "./CellStepper";
import { CellStrip } from "./CellStrip";
import classes from "./canvas.module.css";
import { Lines } from "./Lines";
import type { Direction, Layout } from "./layout";
import { CELLS_BAND } from "./request";

export interface CardData extends Record<string, unknown> {
  readonly node: GraphNode;
  readonly state: NodeState | undefined;
  readonly layout: Layout;
  readonly direction: Direction;
  readonly folded: boolean;
  readonly closed: boolean;
  readonly selected: boolean;
  /** The keyboard is here. */
  readonly cursor: boolean;
  readonly runId: string;
  /** A sub-workflow whose run is known: it can be opened. */
  readonly opens: boolean;
  /** Of a sub-workflow in a foreach: the cell whose run is open. */
  readonly cell: ChosenCell | undefined;
  readonly live: boolean;
  readonly onToggle: (node: GraphNode) => void;
  readonly onPass: (block: string, pass: number) => void;
  readonly onCells: (block: string) => void;
}

/** One node of the definition. It is a button: pressing it opens what is known of it. */
export const NodeCard = memo(function NodeCard({ data }: NodeProps & { data: CardData }) {
  const { node, state, selected } = data;
  const tone = state === undefined ? "none" : statusLook(state.status).tone;
  const container = node.scopes.length > 0;
  return (
    <div
      className={container ? classes.block : classes.step}
      data-tone={tone}
      data-mixed={isMixed(state) || undefined}
      data-selected={selected || undefined}
      data-cursor={data.cursor || undefined}
      data-folded={(container && data.folded && !data.closed) || undefined}
      data-phase={node.phase}
    >
      {container ? data.folded ? <FoldedBlock data={data} /> : <OpenBlock data={data} /> : <StepBody data={data} />}
    </div>
  );
});

/** Some cells have failed among many that have not: that is no failure of the node. */
function isMixed(state: NodeState | undefined): boolean {
  return state?.counts !== undefined && (state.counts[Status.SUCCEEDED] ?? 0) > 0;
}

function StepBody({ data }: { data: CardData }) {
  const { node, state } = data;
  const step = state?.step;
  return (
    <>
      <div className={classes.line}>
        <StatusMark status={state?.status || Status.PENDING} size={15} still={state?.counts !== undefined} />
        <Name node={node} />
        {data.opens && <Toggle data={data} closed />}
        {step !== undefined && step.attempt > 1 && (
          <span className={classes.attempt} title={`attempt ${step.attempt}`}>
            ×{step.attempt}
          </span>
        )}
      </div>
      <div className={classes.sub}>
        <KindIcon node={node} />
        <span className={classes.type}>
          {shown(clipped([node.detail, node.trigger].filter(Boolean).join(", "), 60))}
        </span>
        <StepTime state={state} />
      </div>
      {state?.counts ? (
        <div className={classes.foot}>
          <StatusBar counts={state.counts} height={4} />
        </div>
      ) : (
        step !== undefined &&
        step.status === Status.RUNNING &&
        step.progress > 0 && (
          <div className={classes.foot}>
            <div className={classes.done} style={{ width: `${Math.min(100, step.progress * 100)}%` }} />
          </div>
        )
      )}
    </>
  );
}

function Name({ node }: { node: GraphNode }) {
  return (
    <span className={classes.name} title={shown(node.name)}>
      {shown(node.label)}
    </span>
  );
}

function StepTime({ state }: { state: NodeState | undefined }) {
  if (state?.counts !== undefined) {
    const done = state.counts[Status.SUCCEEDED] ?? 0;
    return (
      <span className={classes.time}>
        <span>
          {formatCount(done)}/{formatCount(sum(state.counts))}
        </span>
        {state.folded && state.folded.timed > 0n && <span>⌀ {average(state)}</span>}
      </span>
    );
  }
  const times = state?.step;
  if (times?.startTime === undefined) return null;
  return (
    <span className={classes.time}>
      <Duration from={times.startTime} to={times.endTime} />
    </span>
  );
}

function average(state: NodeState): string {
  const { sumUs, timed } = state.folded as { sumUs: bigint; timed: bigint };
  return formatDuration(Number(sumUs) / Number(timed) / 1000);
}

function OpenBlock({ data }: { data: CardData }) {
  const { node, layout, state } = data;
  const own = layout.nodes[node.name] as { x: number; y: number };
  return (
    <>
      <BlockHeader data={data} />
      {node.kind === "repeat" && <Passes data={data} />}
      {node.scopes.map((scope) => {
        const box = layout.scopes[scope.id];
        if (box === undefined) return null;
        const taken = state?.block === undefined || wayTaken(data, scope.id);
        const place = { left: box.x - own.x, top: box.y - own.y };
        return (
          <div key={scope.id} className={classes.scope} data-taken={taken} style={place}>
            {node.kind === "branch" && (
              <span className={classes.way}>
                {scope.label === "otherwise" ? "otherwise" : `when ${shown(clipped(scope.label, 48))}`}
              </span>
            )}
            <Lines box={box} direction={data.direction} />
          </div>
        );
      })}
      {node.kind === "forEach" && <CellsFooter data={data} />}
    </>
  );
}

/** A way has been taken when something in it has begun; before, none has been refused. */
function wayTaken(data: CardData, scope: string): boolean {
  const taken = data.takenWay as string | undefined;
  return taken === undefined || taken === scope;
}

function FoldedBlock({ data }: { data: CardData }) {
  const { state } = data;
  const counts = state?.cells ?? (data.inside as number[] | undefined);
  return (
    <div className={classes.folded}>
      <BlockHeader data={data} />
      {counts !== undefined && sum(counts) > 0 && (
        <div className={classes.summary}>
          <StatusBar counts={counts} height={8} />
          <span>
            {formatCount(counts[Status.SUCCEEDED] ?? 0)} of {formatCount(sum(counts))}
          </span>
        </div>
      )}
    </div>
  );
}

function BlockHeader({ data }: { data: CardData }) {
  const { node, state, closed } = data;
  return (
    <div className={classes.head}>
      <div className={classes.line}>
        <StatusMark status={state?.status || Status.PENDING} size={15} still />
        <Name node={node} />
        <Toggle data={data} closed={closed} />
      </div>
      <div className={classes.sub}>
        <KindIcon node={node} />
        {data.cell === undefined ? (
          <span className={classes.detail} title={shown(node.detail)}>
            {KIND_WORDS[node.kind]}
            {node.detail && ` · ${shown(node.detail)}`}
          </span>
        ) : (
          <CellStepper cell={data.cell} />
        )}
      </div>
    </div>
  );
}

function Toggle({ data: { node, onToggle }, closed }: { data: CardData; closed: boolean }) {
  return (
    <UnstyledButton
      className={classes.toggle}
      aria-label={closed ? `Open ${node.name}` : `Close ${node.name}`}
      onClick={(event) => {
        event.stopPropagation();
        onToggle(node);
      }}
    >
      {closed ? <IconChevronRight size={14} /> : <IconChevronDown size={14} />}
    </UnstyledButton>
  );
}

const MOST_PASSES = 40;

/** The passes of a repeat as a lane: what each came to, and which one is shown inside. */
function Passes({ data }: { data: CardData }) {
  const { state } = data;
  const passes = state?.passes ?? [];
  if (passes.length === 0) return <div className={classes.passes}>No iteration yet</div>;
  const shownPasses = passes.slice(-MOST_PASSES);
  return (
    <fieldset className={classes.passes} aria-label="Iterations">
      {passes.length > MOST_PASSES && <span className={classes.earlier}>{passes.length - MOST_PASSES} earlier</span>}
      {shownPasses.map((pass) => (
        <UnstyledButton
          key={pass.number}
          className={classes.pass}
          data-shown={pass.number === state?.pass}
          aria-pressed={pass.number === state?.pass}
          title={`Iteration ${pass.number}: ${statusLook(pass.status).label}`}
          onClick={(event) => {
            event.stopPropagation();
            data.onPass(pass.block, pass.number);
          }}
        >
          <StatusMark status={pass.status || Status.PENDING} size={11} labelled={false} />
          {pass.number}
        </UnstyledButton>
      ))}
    </fieldset>
  );
}

function CellsFooter({ data }: { data: CardData }) {
  const { state } = data;
  const block = state?.block;
  const counts = state?.cells;
  const total = counts ? sum(counts) : 0;
  return (
    <div className={classes.cells} style={{ height: CELLS_BAND - 10 }}>
      {block === undefined || counts === undefined || total === 0 ? (
        <span className={classes.none}>Its items are known when it begins</span>
      ) : (
        <>
          <div className={classes.cellsLine}>
            <span>
              {formatCount(counts[Status.SUCCEEDED] ?? 0)} of {counted(total, "cell")}
            </span>
            <UnstyledButton
              className={classes.openCells}
              onClick={(event) => {
                event.stopPropagation();
                data.onCells(block.path);
              }}
            >
              <IconGridDots size={12} aria-hidden="true" /> Heatmap
            </UnstyledButton>
          </div>
          {data.live ? (
            <CellStrip runId={data.runId} block={block.path} total={total} height={22} />
          ) : (
            <div className={classes.stripless} />
          )}
          <StatusBar counts={counts} height={5} />
        </>
      )}
    </div>
  );
}

const KIND_WORDS: Readonly<Record<GraphNode["kind"], string>> = {
  step: "step",
  forEach: "foreach",
  repeat: "repeat",
  branch: "branch",
  group: "group",
  subWorkflow: "sub-workflow",
  gate: "gate",
};

const STEP_ICONS: Readonly<Record<string, typeof IconBox>> = {
  python: IconBrandPython,
  shell: IconTerminal2,
  docker: IconBrandDocker,
  hive: IconDatabase,
  spark: IconBraces,
  r: IconBraces,
  scala: IconBraces,
  publish: IconRocket,
};

function KindIcon({ node }: { node: GraphNode }) {
  const Icon = iconOf(node);
  return <Icon size={13} stroke={1.6} className={classes.kind} aria-hidden="true" />;
}

function iconOf(node: GraphNode): typeof IconBox {
  switch (node.kind) {
    case "forEach":
      return IconBoxMultiple;
    case "repeat":
      return IconRepeat;
    case "branch":
      return IconArrowsSplit;
    case "group":
      return IconHierarchy;
    case "subWorkflow":
      return IconSitemap;
    case "gate":
      return gateIcon(node);
    default:
      return (node.block.kind.case === "step" && STEP_ICONS[node.block.kind.value.type]) || IconBox;
  }
}

function gateIcon(node: GraphNode): typeof IconBox {
  const kind = node.block.kind;
  if (kind.case !== "gate") return IconHourglassEmpty;
  if (kind.value.kind.case === "approval") return IconSignature;
  return kind.value.kind.case === "signal" ? IconSpeakerphone : IconClockPause;
}
