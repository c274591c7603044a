import { useCallback, useMemo, useState } from "react";
import { useRunPage } from "../context";
import { type Counts, Status, sum, worstOf } from "../model/counts";
import type { NodeState, Overlay } from "../model/overlay";
import { parsePath } from "../model/paths";
import type { Spans } from "../timeline/spans";
import { countsByName, type Folder, foldAt, folder, timeOf } from "./fold";

export interface Scrub {
  /** The event that is dragged over at the moment; undefined when nobody drags. */
  readonly dragged: number | undefined;
  readonly drag: (seq: number | undefined) => void;
  /** How the nodes stood then, folded in the page; undefined when nobody drags. */
  readonly overlay: Overlay | undefined;
  readonly folder: Folder | undefined;
  /** When the event that is shown was, in microseconds; undefined when the run is shown live. */
  readonly timeUs: number | undefined;
}

/** While somebody drags, the page folds attempts itself; when it is let go the server tells the state with its digest. */
export function useScrub(spans: Spans | undefined): Scrub {
  const { overlay, seq, view } = useRunPage();
  const [dragged, setDragged] = useState<number>();
  const fold = useMemo(() => (spans ? folder(spans) : undefined), [spans]);
  const folded = useMemo(
    () => (fold && dragged !== undefined ? foldedOverlay(fold, dragged, overlay) : undefined),
    [fold, dragged, overlay],
  );
  const timeUs = useMemo(() => {
    if (dragged !== undefined) return spans && timeOf(spans, dragged);
    return seq === undefined ? undefined : Number(view.timeUs);
  }, [dragged, spans, seq, view.timeUs]);
  const drag = useCallback((at: number | undefined) => setDragged(at), []);
  return { dragged, drag, overlay: folded, folder: fold, timeUs };
}

/** Steps as they stood; blocks by what stood inside of them. */
function foldedOverlay(fold: Folder, seq: number, now: Overlay): Overlay {
  const counts = foldAt(fold, seq);
  const states = new Map<string, NodeState>();
  for (const [name, found] of countsByName(fold.spans, counts)) {
    const known = now.get(name);
    const many = known?.counts !== undefined;
    states.set(name, { path: known?.path ?? name, status: worstOf(found), counts: many ? found : undefined });
  }
  const begun = iterationsBegun(fold, counts);
  for (const path of blocksAround(fold, counts)) {
    const name = parsePath(path).at(-1)?.name ?? path;
    const inside = fold.spans.nodes.flatMap((node, at) => (node.startsWith(path) ? [counts[at] ?? []] : []));
    const all = inside.reduce<number[]>(
      (sum, some) => sum.map((count, at) => count + (some[at] ?? 0)),
      new Array(13).fill(0),
    );
    const known = now.get(name);
    if (known?.step !== undefined) continue;
    const active = [Status.RUNNING, Status.SERVING, Status.READY, Status.PENDING].some(
      (status) => (all[status] ?? 0) > 0,
    );
    states.set(name, {
      path: known?.path ?? path,
      status: active ? Status.RUNNING : worstOf(all),
      block: known?.block,
      cells: known?.cells && withOpen(all, sum(known.cells)),
      passes: known?.passes?.filter((pass) => begun.has(`${pass.block}#${pass.number}`)),
      pass: known?.pass,
    });
  }
  return states;
}

/** So many in all: what is missing has not begun. */
function withOpen(counts: Counts, total: number): Counts {
  const open = Math.max(0, total - sum(counts));
  return counts.map((count, status) => (status === Status.UNSPECIFIED ? count + open : count));
}

/** The iterations in which a step had begun: "cycle#2". */
function iterationsBegun(fold: Folder, counts: readonly Counts[]): Set<string> {
  const begun = new Set<string>();
  fold.spans.nodes.forEach((node, at) => {
    if (sum(counts[at] ?? []) === 0) return;
    for (const match of node.matchAll(/#\d+/g)) begun.add(node.slice(0, match.index + match[0].length));
  });
  return begun;
}

/** The paths of the blocks around the steps that had begun, without the cell that was entered. */
function blocksAround(fold: Folder, counts: readonly (readonly number[])[]): Set<string> {
  const blocks = new Set<string>();
  fold.spans.nodes.forEach((node, at) => {
    if ((counts[at] ?? []).every((count) => count === 0)) return;
    const segments = parsePath(node);
    let around = "";
    for (const segment of segments.slice(0, -1)) {
      blocks.add(around + segment.name);
      around += `${segment.name}${segment.cell}/`;
    }
  });
  return blocks;
}
