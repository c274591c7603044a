import "@xyflow/react/dist/style.css";
import { ActionIcon, Tooltip, VisuallyHidden } from "@mantine/core";
import { useCallbackRef, useElementSize } from "@mantine/hooks";
import { IconFocusCentered, IconMinus, IconPlus } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import {
  type Edge,
  type Node,
  Panel,
  ReactFlow,
  ReactFlowProvider,
  useStore as useFlow,
  useReactFlow,
} from "@xyflow/react";
import {
  type KeyboardEvent,
  type MouseEvent,
  memo,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
  type WheelEvent,
} from "react";
import { EmptyState, ErrorState, LoadingState } from "../../common/states";
import { statusLook } from "../../common/status";
import { counted } from "../../common/text";
import { Status } from "../../gen/kaonapi/run/v1/run_pb";
import { DRAWER, useRunPage } from "../context";
import { addCounts, type Counts, noCounts } from "../model/counts";
import { type GraphModel, type GraphNode, graphModel, NODE_LIMIT } from "../model/graph";
import { cellsOf, chosenCell, openedName } from "../model/inner";
import type { Overlay } from "../model/overlay";
import { nodeName } from "../model/paths";
import classes from "./canvas.module.css";
import { Dots } from "./Dots";
import { FindBlock } from "./FindBlock";
import { DRAWN_LIMIT, drawn, openDepth } from "./folding";
import { Lines } from "./Lines";
import type { Box, Direction, Layout } from "./layout";
import { type CardData, NodeCard } from "./NodeCard";
import { type InnerRuns, useInner } from "./useInner";
import { useLayout } from "./useLayout";
import { useOpenCell } from "./useOpenCell";

const NODE_TYPES = { card: NodeCard, ground: Ground };
/** The ground draws the lines. Another array each time would have React Flow take them in anew with each event. */
const NO_EDGES: Edge[] = [];
/** The layout knows how large a node is. Without these React Flow measures a node in the page whenever it has changed. */
const NO_HANDLES: NonNullable<Node["handles"]> = [];
const NO_ATTRIBUTION = { hideAttribution: true };

/** The workflow as it is defined, with how the run stands in it. */
export function Canvas() {
  const { graph: outer, view, definition, search, go } = useRunPage();
  const openCell = useOpenCell();
  const inner = useInner(outer);
  const graph = useMemo(
    () =>
      definition && inner.definitions.size > 0
        ? graphModel(definition, NODE_LIMIT, inner.definitions, outer?.around)
        : outer,
    [definition, inner.definitions, outer],
  );
  const { ref, width, height } = useElementSize();
  const size = useMemo(() => ({ width, height }), [width, height]);
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const direction: Direction = width > 0 && width < 620 ? "TB" : "LR";
  const layout = useLayout(view.run?.version ?? "", graph, closed, direction, inner.versions);
  const toggle = useCallback(
    (node: GraphNode) => {
      if (node.kind === "subWorkflow") {
        const others = search.opened.filter((opened) => openedName(opened) !== node.name);
        const cells = cellsOf(inner.overlay.get(node.name));
        if (others.length < search.opened.length) go({ opened: others }, { replace: true });
        else if (cells !== undefined) openCell(cells);
        else go({ opened: [...others, node.name] }, { replace: true });
        return;
      }
      setClosed((before) => {
        const next = new Set(before);
        if (!next.delete(node.name)) next.add(node.name);
        return next;
      });
    },
    [search.opened, go, inner.overlay, openCell],
  );
  return (
    <div ref={ref} className={classes.canvas}>
      {graph?.byName.size === 0 && <EmptyState title="This workflow has no steps" />}
      {layout.error && <ErrorState error={layout.error} />}
      {!layout.data && !layout.error && <LoadingState label="Laying out the workflow" />}
      {layout.data && graph && (
        <ReactFlowProvider>
          <Flow
            graph={graph}
            inner={inner}
            layout={layout.data}
            closed={closed}
            direction={direction}
            toggle={toggle}
            size={size}
          />
        </ReactFlowProvider>
      )}
      {graph !== undefined && layout.data && <Omitted blocks={graph.omitted} lines={layout.data.linesLeftOut} />}
    </div>
  );
}

/** What of a large definition is not drawn. */
function Omitted({ blocks, lines }: { blocks: number; lines: number }) {
  const parts = [blocks > 0 && counted(blocks, "more block"), lines > 0 && counted(lines, "line")].filter(Boolean);
  if (parts.length === 0) return null;
  return (
    <p className={classes.omitted} role="status">
      {parts.join(" and ")} {blocks + lines === 1 ? "is" : "are"} not drawn.{" "}
      {blocks > 0 && "The search leads to each block. "}
      The Code tab has more.
    </p>
  );
}

const MOST_ZOOM = 2.5;
/** So much further the wheel must turn once nothing can be larger: then somebody means it. */
const PUSH = 300;

/** Who zooms on where the drawing is at its largest wants what is inside: calls with the name of the node under the pointer. */
function useZoomInto(getZoom: () => number, enter: (name: string) => void): (event: WheelEvent) => void {
  const pushed = useRef(0);
  return (event) => {
    if (event.deltaY >= 0 || getZoom() < MOST_ZOOM * 0.99) {
      pushed.current = 0;
      return;
    }
    pushed.current -= event.deltaY;
    const id = (event.target as Element).closest(".react-flow__node")?.getAttribute("data-id");
    if (pushed.current < PUSH || !id) return;
    pushed.current = 0;
    enter(id);
  };
}

function openCells(_event: MouseEvent, node: Node): void {
  const data = node.data as CardData;
  if (node.type === "card" && data.node.kind === "forEach" && data.state?.block) {
    data.onCells(data.state.block.path);
  }
}

/** The path of the innermost foreach that a node is or stands in, of those that have begun. */
function foreachAround(node: GraphNode | undefined, pathOf: (name: string) => string | undefined): string | undefined {
  for (let each = node; each !== undefined; each = each.parent) {
    const path = each.kind === "forEach" ? pathOf(each.name) : undefined;
    if (path !== undefined) return path;
  }
  return undefined;
}

function stateOf(nodes: readonly Node[], name: string): CardData["state"] {
  return nodes.map(({ data }) => data as Partial<CardData>).find(({ node }) => node?.name === name)?.state;
}

interface FlowProps {
  graph: GraphModel;
  inner: InnerRuns;
  layout: Layout;
  closed: ReadonlySet<string>;
  direction: Direction;
  toggle: (node: GraphNode) => void;
  size: { width: number; height: number };
}

function Flow({ graph, inner, layout, closed, direction, toggle, size }: FlowProps) {
  const { go, search, definition, overlay } = useRunPage();
  const navigate = useNavigate();
  const leave = useCallback(
    (runId: string, place: { step?: string; cells?: string }) =>
      void navigate({ to: "/runs/$runId", params: { runId }, search: place as never }),
    [navigate],
  );
  // Only what folding depends on: the canvas does not render anew with every step of the wheel.
  const level = useFlow((state) => openDepth(state.transform[2]));
  const zoom = level === 0 ? 0.1 : level === 1 ? 0.3 : 1;
  const [cursor, setCursor] = useState(nodeName(search.step));
  // What is opened in another way is where the keyboard goes on, also when it is closed again.
  useEffect(() => {
    if (search.step !== "") setCursor(nodeName(search.step));
  }, [search.step]);
  const shownNode = nodeName(search.step) || cursor;
  const wanted = graph.byName.get(shownNode);
  const seen = useMemo(() => drawn(graph, zoom, closed, DRAWN_LIMIT, wanted), [graph, zoom, closed, wanted]);
  const nodes = useNodes({ graph, inner, layout, seen, closed, direction, toggle, leave, cursor });
  const { setViewport, setCenter, getZoom } = useReactFlow();
  const selectedBox = useRef<Box>(undefined);
  selectedBox.current = layout.nodes[shownNode];
  const fitted = useRef({ shape: "", room: "" });
  const around = layout.nodes[graph.around] === undefined ? "" : graph.around;
  const shape = `${layout.width}x${layout.height} ${around}`;
  // Who has moved the drawing keeps it where it is, also when a drawer takes some of its room.
  const held = useRef(false);
  const hold = useCallback(() => {
    held.current = true;
  }, []);
  useEffect(() => {
    const room = `${size.width}x${size.height}`;
    const before = fitted.current;
    if (size.width === 0 || (before.shape === shape && (held.current || before.room === room))) return;
    const frame = requestAnimationFrame(() => {
      if (before.shape !== shape) held.current = false;
      fitted.current = { shape, room };
      void setViewport(startView(layout, size, selectedBox.current, direction));
    });
    return () => cancelAnimationFrame(frame);
  }, [shape, layout, size, direction, setViewport]);
  const into = useZoomInto(getZoom, (name) => {
    const node = graph.byName.get(name);
    const path = foreachAround(node, (each) => stateOf(nodes, each)?.block?.path);
    if (path === undefined || node === undefined) return;
    if (node.within === "") go({ cells: path, step: "" });
    else leave(inner.runs.get(node.within) as string, { cells: path });
  });
  // The same functions with each event: else every node of the drawing would render anew, also those that stand as before.
  const click = useCallbackRef((_event: MouseEvent, { type, data }: Node) => {
    if (type !== "card") return;
    const { node: card, runId } = data as CardData;
    const path = pathFor(card, nodes);
    if (card.within === "") go({ step: path });
    else leave(runId, { step: path });
  });
  const unselect = useCallbackRef(() => search.step !== "" && go({ step: "", line: "" }));
  const press = (event: KeyboardEvent): void => {
    // In a node stand buttons of its own.
    if (event.target !== event.currentTarget) return;
    if (event.key === "Enter") open();
    else if (event.key === "Escape") unselect();
    else move(event);
  };
  const open = (): void => {
    const node = graph.byName.get(cursor);
    if (node === undefined) return;
    if (cursor === nodeName(search.step)) document.getElementById(DRAWER)?.focus();
    else go({ step: pathFor(node, nodes) });
  };
  const move = (event: KeyboardEvent): void => {
    // What is in a sub-workflow belongs to another run, whose page has its own cursor.
    const own = seen.nodes.filter((node) => node.within === "");
    const next = neighbour(layout, own, cursor, event.key);
    if (next === undefined) return;
    event.preventDefault();
    setCursor(next.name);
    // A drawer that is open shows what the cursor is at.
    if (search.step !== "") go({ step: pathFor(next, nodes) }, { replace: true });
    show(next.name);
  };
  const show = (name: string, zoom = getZoom()): void => {
    const box = layout.nodes[name];
    if (box) void setCenter(box.x + box.width / 2, box.y + Math.min(box.height, 200) / 2, { zoom, duration: 150 });
  };
  // What is not drawn yet is shown as soon as it is.
  const find = useCallbackRef((name: string) => {
    go({ step: overlay.get(name)?.path ?? name });
    show(name, Math.max(READABLE_ZOOM, getZoom()));
  });
  return (
    <div
      className={classes.flow}
      role="group"
      aria-label="The workflow. Arrow keys go from node to node, Enter opens one."
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard cursor of the drawing.
      tabIndex={0}
      onKeyDown={press}
      onWheelCapture={into}
    >
      <VisuallyHidden>
        <output>{cursorText(graph.byName.get(cursor), nodes)}</output>
      </VisuallyHidden>
      <ReactFlow
        nodes={nodes}
        edges={NO_EDGES}
        nodeTypes={NODE_TYPES}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        elementsSelectable={false}
        disableKeyboardA11y
        minZoom={0.04}
        maxZoom={MOST_ZOOM}
        onlyRenderVisibleElements={nodes.length > 120}
        onNodeClick={click}
        onNodeDoubleClick={openCells}
        onMove={(event) => {
          // A press alone moves nothing, and what the page moves has no event.
          if (event) hold();
        }}
        onPaneClick={unselect}
        proOptions={NO_ATTRIBUTION}
      >
        <Dots />
        {definition && <FindBlock definition={definition} find={find} />}
        <Zooming position={direction === "TB" ? "top-right" : "bottom-right"} hold={hold} />
      </ReactFlow>
    </div>
  );
}

interface ZoomingProps {
  position: "top-right" | "bottom-right";
  /** The drawing stays as somebody has it now. */
  hold: () => void;
}

/** On a narrow page the scrubber may lie over the lower corners. */
const Zooming = memo(function Zooming({ position, hold }: ZoomingProps) {
  const { zoomIn, zoomOut, fitView } = useReactFlow();
  const held = (move: () => unknown) => () => {
    hold();
    void move();
  };
  return (
    <Panel position={position} className={classes.zoom}>
      <Tooltip label="Zoom in">
        <ActionIcon aria-label="Zoom in" onClick={held(() => zoomIn({ duration: 150 }))}>
          <IconPlus size={15} />
        </ActionIcon>
      </Tooltip>
      <Tooltip label="Zoom out">
        <ActionIcon aria-label="Zoom out" onClick={held(() => zoomOut({ duration: 150 }))}>
          <IconMinus size={15} />
        </ActionIcon>
      </Tooltip>
      <Tooltip label="Show all">
        <ActionIcon aria-label="Show all" onClick={() => void fitView({ padding: 0.08, maxZoom: 1, duration: 150 })}>
          <IconFocusCentered size={15} />
        </ActionIcon>
      </Tooltip>
    </Panel>
  );
});

// Below this the names of steps cannot be read: a part that can be read is shown instead of a whole that cannot.
const READABLE_ZOOM = 0.7;
const MARGIN = 28;

/** Shows everything where that can be read, else the beginning, or what is selected. */
function startView(
  layout: Layout,
  size: { width: number; height: number },
  selected: Box | undefined,
  direction: Direction,
): { x: number; y: number; zoom: number } {
  const across = (size.width - 2 * MARGIN) / layout.width;
  const down = (size.height - 2 * MARGIN) / layout.height;
  const whole = Math.min(1, across, down);
  const zoom = Math.max(READABLE_ZOOM, whole);
  const centred = (seen: number, all: number): number => (seen - all * zoom) / 2;
  if (whole >= READABLE_ZOOM)
    return { x: centred(size.width, layout.width), y: centred(size.height, layout.height), zoom };
  const within = (wanted: number, seen: number, all: number): number =>
    all * zoom <= seen - 2 * MARGIN
      ? (seen - all * zoom) / 2
      : Math.min(MARGIN, Math.max(seen - all * zoom - MARGIN, wanted));
  const start =
    direction === "LR"
      ? { x: MARGIN, y: centred(size.height, layout.height) }
      : { x: centred(size.width, layout.width), y: MARGIN };
  const place = selected
    ? {
        x: size.width / 2 - (selected.x + selected.width / 2) * zoom,
        y: size.height / 2 - (selected.y + Math.min(selected.height, 240) / 2) * zoom,
      }
    : start;
  return { x: within(place.x, size.width, layout.width), y: within(place.y, size.height, layout.height), zoom };
}

interface GroundData extends Record<string, unknown> {
  readonly layout: Layout;
  readonly direction: Direction;
}

/** What lies under the outermost nodes: their lines. */
function Ground({ data }: { data: GroundData }) {
  const box = data.layout.scopes[""];
  return box ? <Lines box={box} direction={data.direction} /> : null;
}

interface NodesOf extends Omit<FlowProps, "size"> {
  /** The node at which the keyboard is. */
  cursor: string;
  seen: { nodes: GraphNode[]; folded: Set<string> };
  leave: (runId: string, place: { step?: string; cells?: string }) => void;
}

function useNodes({ graph, inner, layout, seen, closed, direction, toggle, leave, cursor }: NodesOf): Node[] {
  const { search, go, runId, seq, dragging } = useRunPage();
  const { overlay, runs } = inner;
  const onPass = useCallback(
    (block: string, pass: number) => go({ passes: { ...search.passes, [block]: pass } }, { replace: true }),
    [go, search.passes],
  );
  const onCells = useCallback((block: string) => go({ cells: block, step: "" }), [go]);
  const before = useRef<ReadonlyMap<string, Node>>(new Map());
  const cells = useMemo(
    () => new Map(search.opened.flatMap((each) => chosenCell(each) ?? []).map((cell) => [cell.name, cell])),
    [search.opened],
  );
  const others = useMemo(() => new Map([...runs].map(([name, id]) => [name, callsOf(id, leave)])), [runs, leave]);
  return useMemo(() => {
    const ground: Node = {
      id: "",
      type: "ground",
      position: { x: 0, y: 0 },
      data: { layout, direction },
      width: layout.width,
      height: layout.height,
      measured: layout,
      handles: NO_HANDLES,
      zIndex: -1,
      selectable: false,
    };
    const selected = nodeName(search.step);
    const cards = seen.nodes.flatMap((node): Node[] => {
      const box = layout.nodes[node.name];
      if (box === undefined) return [];
      const data: CardData = {
        node,
        state: overlay.get(node.name),
        layout,
        direction,
        folded: seen.folded.has(node.name),
        closed: closed.has(node.name),
        selected: selected === node.name,
        cursor: cursor === node.name,
        runId,
        opens: node.kind === "subWorkflow" && (node.scopes.length > 0 || canOpen(overlay.get(node.name), node.within)),
        cell: cells.get(node.name),
        live: seq === undefined && !dragging,
        takenWay: node.kind === "branch" ? takenWay(node, overlay) : undefined,
        inside: seen.folded.has(node.name) ? insideCounts(node, overlay) : undefined,
        onToggle: toggle,
        onPass,
        onCells,
        ...others.get(node.within),
      };
      return [
        {
          id: node.name,
          type: "card",
          position: { x: box.x, y: box.y },
          data,
          width: box.width,
          height: box.height,
          measured: box,
          handles: NO_HANDLES,
          zIndex: node.depth,
        },
      ];
    });
    if (graph.byName.size === 0) return [];
    const nodes = [ground, ...cards].map((node) => unlessSame(node, before.current.get(node.id)));
    before.current = new Map(nodes.map((node) => [node.id, node]));
    return nodes;
  }, [
    graph,
    layout,
    seen,
    closed,
    direction,
    toggle,
    overlay,
    search.step,
    cursor,
    runId,
    seq,
    dragging,
    onPass,
    onCells,
    cells,
    others,
  ]);
}

/** Whether a sub-workflow has begun: by its run, or in cells of the run's own. */
function canOpen(state: CardData["state"], within: string): boolean {
  return Boolean(state?.block?.childRunId) || (within === "" && cellsOf(state) !== undefined);
}

/** A node that stands as before is the object that it was, so that only what has changed is drawn anew. */
function unlessSame(node: Node, before: Node | undefined): Node {
  if (before === undefined) return node;
  const { data, position, ...rest } = node;
  const { data: oldData, position: oldPosition, ...oldRest } = before;
  return sameFields(rest, oldRest) && sameFields(position, oldPosition) && sameFields(data, oldData, "state")
    ? before
    : node;
}

/** Whether two objects have the same fields; of the one that is named, whether its fields are. */
function sameFields(one: object, other: object, inner?: string): boolean {
  const [fields, others] = [Object.entries(one), new Map(Object.entries(other))];
  return (
    fields.length === others.size &&
    fields.every(([name, value]) => {
      const old: unknown = others.get(name);
      if (value === old) return true;
      return name === inner && isObject(value) && isObject(old) && sameFields(value, old);
    })
  );
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** What is pressed in a node of a sub-workflow leads to the run by which that began. */
function callsOf(runId: string, leave: NodesOf["leave"]): Pick<CardData, "runId" | "onPass" | "onCells"> {
  return {
    runId,
    onPass: (block) => leave(runId, { step: block }),
    onCells: (block) => leave(runId, { cells: block }),
  };
}

/** The id of the way of a branch in which something has begun; undefined when none has. */
function takenWay(node: GraphNode, overlay: Overlay): string | undefined {
  return node.scopes.find((scope) => scope.nodes.some((inner) => overlay.has(inner.name)))?.id;
}

/** All steps inside of a node, by status; those that have not begun count once for each node. */
function insideCounts(node: GraphNode, overlay: Overlay): Counts {
  const counts = noCounts();
  const open = node.scopes.flatMap((scope) => scope.nodes);
  for (let at = 0; at < open.length; at++) {
    const inner = open[at] as GraphNode;
    open.push(...inner.scopes.flatMap((scope) => scope.nodes));
    if (inner.scopes.length > 0) continue;
    const state = overlay.get(inner.name);
    if (state?.counts !== undefined) addCounts(counts, state.counts);
    else counts[state?.status ?? 0] = (counts[state?.status ?? 0] ?? 0) + 1;
  }
  return counts;
}

/** What is read out when the keyboard comes to a node. */
function cursorText(node: GraphNode | undefined, nodes: readonly Node[]): string {
  if (node === undefined) return "";
  return `${node.label}, ${statusLook(stateOf(nodes, node.name)?.status ?? Status.PENDING).label}`;
}

/** The path of what is shown of a node, or its name when nothing of it has begun. */
function pathFor(node: GraphNode, nodes: readonly Node[]): string {
  const data = nodes.find((entry) => entry.id === node.name)?.data as CardData | undefined;
  return data?.state?.path ?? node.name;
}

/** The nearest node in the direction of an arrow key. */
function neighbour(layout: Layout, nodes: readonly GraphNode[], from: string, key: string): GraphNode | undefined {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  if (direction === undefined) return undefined;
  const here = layout.nodes[from];
  if (here === undefined) return nodes[0];
  const [dx, dy] = direction as [number, number];
  let best: { node: GraphNode; cost: number } | undefined;
  for (const node of nodes) {
    const box = layout.nodes[node.name];
    if (box === undefined || node.name === from) continue;
    const along = (box.x - here.x) * dx + (box.y - here.y) * dy;
    const across = Math.abs((box.x - here.x) * dy) + Math.abs((box.y - here.y) * dx);
    const cost = along + across * 2.5;
    if (along > 4 && (best === undefined || cost < best.cost)) best = { node, cost };
  }
  return best?.node;
}
