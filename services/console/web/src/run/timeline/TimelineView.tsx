import { SegmentedControl, Switch } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { StatusLabel, StatusMark } from "../../common/StatusMark";
import { EmptyState, ErrorState, LoadingState } from "../../common/states";
import { statusLook } from "../../common/status";
import { counted, shown } from "../../common/text";
import { formatClock, formatDuration } from "../../common/time";
import { useZone } from "../../common/zone";
import { useRunPage } from "../context";
import type { useSpans } from "../live/useRun";
import type { Scrub } from "../scrub/useScrub";
import { criticalPath, shares } from "./critical";
import { drawTimeline, labelsOf, pick, rowLayout, useTimelineColors, type View } from "./draw";
import { extent, rowsOf, type Spans } from "./spans";
import { Strips } from "./strips";
import classes from "./TimelineView.module.css";

interface Props {
  spans: ReturnType<typeof useSpans>;
  scrub: Scrub;
}

/** When each attempt waited and worked, as lanes over time. */
export function TimelineView({ spans, scrub }: Props) {
  const [mode, setMode] = useState("chart");
  const [critical, setCritical] = useState(true);
  if (spans.error && !spans.data) return <ErrorState error={spans.error} retry={() => void spans.refetch()} />;
  if (!spans.data) return <LoadingState label="Loading the attempts" />;
  if (spans.data.count === 0) return <EmptyState title="No step has become ready yet" />;
  return (
    <section className={classes.view} aria-label="Timeline">
      <div className={classes.bar}>
        <SegmentedControl
          value={mode}
          onChange={setMode}
          data={[
            { value: "chart", label: "Chart" },
            { value: "table", label: "Table" },
          ]}
        />
        <Switch
          label="Critical path"
          checked={critical}
          onChange={(event) => setCritical(event.currentTarget.checked)}
        />
        <Summary spans={spans.data} />
      </div>
      {mode === "chart" ? (
        <Chart spans={spans.data} scrub={scrub} critical={critical} />
      ) : (
        <SpanTable spans={spans.data} />
      )}
    </section>
  );
}

function Summary({ spans }: { spans: Spans }) {
  const { path, waitUs, workUs } = useMemo(() => {
    const found = criticalPath(spans);
    return { path: found, ...shares(spans, found) };
  }, [spans]);
  return (
    <span className={classes.summary}>
      {counted(spans.count, "attempt")}. The critical path has {counted(path.length, "attempt")}:{" "}
      {formatDuration(workUs / 1000)} of work, {formatDuration(waitUs / 1000)} of waiting for runners.
    </span>
  );
}

export function Chart({ spans, scrub, critical }: { spans: Spans; scrub: Scrub; critical: boolean }) {
  const { go, live, search } = useRunPage();
  const { ref: box, width, height } = useElementSize();
  const canvas = useRef<HTMLCanvasElement>(null);
  const colors = useTimelineColors();
  const zone = useZone();
  const ended = live.run !== undefined && statusLook(live.run.status).terminal;
  const nowUs = Number(live.timeUs) || Date.now() * 1000;
  const rows = useMemo(() => rowsOf(spans), [spans]);
  const layout = useMemo(() => rowLayout(rows), [rows]);
  const whole = useMemo(() => extent(spans, nowUs), [spans, nowUs]);
  const path = useMemo(() => (critical ? new Set(criticalPath(spans)) : undefined), [spans, critical]);
  const strips = useMemo(() => new Strips(spans, rows, path), [spans, rows, path]);
  const [view, setView] = useState<View>();
  const [hovered, setHovered] = useState<{ span: number; x: number; y: number }>();
  const [cursor, setCursor] = useState(-1);
  const drag = useRef<{ x: number; y: number; view: View; moved: boolean }>(undefined);
  const pad = (whole.until - whole.from) * 0.02 || 1;
  const shownView: View = view ?? { from: whole.from - pad, until: whole.until + pad, top: 0 };
  const most = Math.max(0, layout.height - height + 40);

  useEffect(() => {
    const surface = canvas.current;
    const context = surface?.getContext("2d");
    if (!surface || !context || width === 0 || height === 0) return;
    const frame = requestAnimationFrame(() => {
      const ratio = window.devicePixelRatio || 1;
      if (surface.width !== Math.round(width * ratio) || surface.height !== Math.round(height * ratio)) {
        surface.width = Math.round(width * ratio);
        surface.height = Math.round(height * ratio);
      }
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      drawTimeline(context, {
        spans,
        rows,
        strips,
        layout,
        view: shownView,
        width,
        height,
        colors,
        path,
        nowUs,
        atUs: scrub.timeUs,
        cursor: cursor >= 0 ? cursor : hovered?.span,
        zone,
        startUs: whole.from,
      });
    });
    return () => cancelAnimationFrame(frame);
  });

  // React's wheel handlers are passive and could not keep the page from scrolling.
  const wheel = useRef<(event: WheelEvent) => void>(() => undefined);
  wheel.current = (event) => {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey || !event.shiftKey) {
      const at = Math.max(0, event.offsetX - labelsOf(width)) / Math.max(1, width - labelsOf(width));
      const factor = Math.exp(event.deltaY * 0.0015);
      const span = shownView.until - shownView.from;
      const next = Math.min((whole.until - whole.from + 2 * pad) * 1.5, Math.max(1_000, span * factor));
      const from = shownView.from + at * (span - next);
      setView({ ...shownView, from, until: from + next });
    } else {
      setView({ ...shownView, top: Math.min(most, Math.max(0, shownView.top + event.deltaY)) });
    }
  };
  useEffect(() => {
    const surface = canvas.current;
    const listen = (event: WheelEvent): void => wheel.current(event);
    surface?.addEventListener("wheel", listen, { passive: false });
    return () => surface?.removeEventListener("wheel", listen);
  }, []);

  const spanAt = (event: PointerEvent): number =>
    pick(spans, rows, layout, shownView, width, nowUs, event.nativeEvent.offsetX, event.nativeEvent.offsetY);
  const openSpan = (span: number): void => {
    const node = spans.nodes[spans.node[span] as number] ?? "";
    if (node.includes("[]")) go({ tab: "graph", cells: spans.blocks[spans.node[span] as number] ?? "", step: "" });
    else go({ step: node });
  };
  const keys = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by !== undefined) setCursor((before) => Math.min(spans.count - 1, Math.max(0, before + by)));
    else if (event.key === "Enter" && cursor >= 0) openSpan(cursor);
    else if (event.key === "Escape") {
      setCursor(-1);
      setView(undefined);
    } else return;
    event.preventDefault();
  };
  const told = cursor >= 0 ? cursor : hovered?.span;
  return (
    <div ref={box} className={classes.chart}>
      {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: keys go to the drawing itself. */}
      <canvas
        ref={canvas}
        className={classes.canvas}
        role="application"
        aria-label="Timeline. Left and right go from attempt to attempt, Enter opens the step, Escape shows all. The Table has the same as text."
        tabIndex={0}
        onKeyDown={keys}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          drag.current = { x: event.clientX, y: event.clientY, view: shownView, moved: false };
        }}
        onPointerMove={(event) => {
          const from = drag.current;
          if (from === undefined) {
            const span = spanAt(event);
            setHovered(span < 0 ? undefined : { span, x: event.nativeEvent.offsetX, y: event.nativeEvent.offsetY });
            return;
          }
          const dx = event.clientX - from.x;
          const dy = event.clientY - from.y;
          if (Math.abs(dx) + Math.abs(dy) > 4) from.moved = true;
          const shift = (dx / Math.max(1, width - labelsOf(width))) * (from.view.until - from.view.from);
          setView({
            from: from.view.from - shift,
            until: from.view.until - shift,
            top: Math.min(most, Math.max(0, from.view.top - dy)),
          });
        }}
        onPointerUp={(event) => {
          const from = drag.current;
          drag.current = undefined;
          if (from?.moved) return;
          const span = spanAt(event);
          if (span >= 0) openSpan(span);
          else if (search.step) go({ step: "" });
        }}
        onPointerLeave={() => setHovered(undefined)}
        onDoubleClick={() => setView(undefined)}
      />
      {told !== undefined && told >= 0 && (
        <Tip
          spans={spans}
          span={told}
          at={hovered ?? { x: labelsOf(width) + 16, y: 40 }}
          width={width}
          running={!ended}
          nowUs={nowUs}
        />
      )}
    </div>
  );
}

interface TipProps {
  spans: Spans;
  span: number;
  at: { x: number; y: number };
  width: number;
  running: boolean;
  nowUs: number;
}

function Tip({ spans, span, at, width, nowUs }: TipProps) {
  const zone = useZone();
  const ready = spans.ready[span] as number;
  const leased = spans.leased[span] as number;
  const end = spans.end[span] as number;
  const merged = spans.merged[span] ?? 1;
  const style = { left: Math.min(at.x + 14, Math.max(0, width - 270)), top: at.y + 14 };
  return (
    <div className={classes.tip} style={style} role="status">
      <b>{shown(spans.nodes[spans.node[span] as number] ?? "")}</b>
      {spans.blocks[spans.node[span] as number] !== "" && <span>cell {spans.cell[span]}</span>}
      <StatusLabel status={spans.outcome[span] as number} size={12} />
      {merged > 1 && <span>{counted(merged, "attempt")} in one place</span>}
      {(spans.attempt[span] ?? 1) > 1 && <span>attempt {spans.attempt[span]}</span>}
      <span>ready {formatClock(ready / 1000, zone)}</span>
      <span>
        waited {formatDuration(((leased || end || nowUs) - ready) / 1000)}
        {leased > 0 && `, worked ${formatDuration(((end || nowUs) - leased) / 1000)}`}
      </span>
      {spans.runners[spans.runner[span] as number] !== undefined && (
        <span>at {shown(spans.runners[spans.runner[span] as number] as string)}</span>
      )}
    </div>
  );
}

/** The same as text, for who cannot see or point. */
function SpanTable({ spans }: { spans: Spans }) {
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: spans.count,
    getScrollElement: () => scroller.current,
    estimateSize: () => 30,
    overscan: 12,
  });
  return (
    <div ref={scroller} className={classes.table}>
      <div className={classes.headRow} aria-hidden="true">
        {["Step", "Cell", "Attempt", "Outcome", "Ready", "Waited", "Worked", "Runner"].map((name) => (
          <span key={name}>{name}</span>
        ))}
      </div>
      <ul style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map(({ index, start }) => (
          <li key={index} style={{ transform: `translateY(${start}px)` }}>
            <SpanRow spans={spans} at={index} />
          </li>
        ))}
      </ul>
    </div>
  );
}

function SpanRow({ spans, at }: { spans: Spans; at: number }) {
  const { go } = useRunPage();
  const zone = useZone();
  const node = spans.nodes[spans.node[at] as number] ?? "";
  const block = spans.blocks[spans.node[at] as number] ?? "";
  const ready = spans.ready[at] as number;
  const leased = spans.leased[at] as number;
  const end = spans.end[at] as number;
  return (
    <button
      type="button"
      className={classes.row}
      onClick={() => (block === "" ? go({ step: node }) : go({ tab: "graph", cells: block, step: "" }))}
    >
      <span>{shown(node)}</span>
      <span>{block === "" ? "" : spans.cell[at]}</span>
      <span>{spans.attempt[at]}</span>
      <span className={classes.status}>
        <StatusMark status={spans.outcome[at] as number} size={12} labelled={false} />
        {statusLook(spans.outcome[at] as number).label}
      </span>
      <span>{formatClock(ready / 1000, zone)}</span>
      <span>{formatDuration(Math.max(0, (leased || end || ready) - ready) / 1000)}</span>
      <span>{leased > 0 && end > 0 ? formatDuration((end - leased) / 1000) : "–"}</span>
      <span>{shown(spans.runners[spans.runner[at] as number] ?? "")}</span>
    </button>
  );
}
