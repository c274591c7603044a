/** What of the run page stands in its address: all that somebody who gets the link needs to see the same. */

import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { listOf, textOf } from "../common/search";
import type { ChosenPasses } from "./model/overlay";

export const TABS = ["graph", "timeline", "events", "outputs", "code", "sweep"] as const;
export type Tab = (typeof TABS)[number];

export const PANELS = ["overview", "logs", "metrics"] as const;
export type Panel = (typeof PANELS)[number];

export interface RunSearch {
  readonly tab: Tab;
  /** Path of the step or block whose drawer is open. */
  readonly step: string;
  readonly panel: Panel;
  /** Path of the foreach whose heatmap is open. */
  readonly cells: string;
  /** The event after which the run is shown; undefined means live. */
  readonly seq: number | undefined;
  /** Attempt, generation and number of a line of the log. */
  readonly line: string;
  readonly passes: ChosenPasses;
  /** Sub-workflows that are open in the drawing, by their names there. */
  readonly opened: readonly string[];
  readonly text: string;
  readonly kinds: readonly string[];
}

export function parseRunSearch(search: Record<string, unknown>): RunSearch {
  return {
    tab: TABS.find((tab) => tab === search.tab) ?? "graph",
    step: textOf(search.step) ?? "",
    panel: PANELS.find((panel) => panel === search.panel) ?? "overview",
    cells: textOf(search.cells) ?? "",
    seq: numberOf(search.seq),
    line: textOf(search.line) ?? "",
    passes: Object.fromEntries(listOf(search.pass).flatMap(passOf)),
    opened: listOf(search.open),
    text: textOf(search.text) ?? "",
    kinds: listOf(search.kind),
  };
}

/** What stands for itself is left out of the address. */
export function formatRunSearch(search: RunSearch): Record<string, unknown> {
  return {
    tab: search.tab === "graph" ? undefined : search.tab,
    step: search.step || undefined,
    panel: search.panel === "overview" ? undefined : search.panel,
    cells: search.cells || undefined,
    seq: search.seq === undefined ? undefined : String(search.seq),
    line: search.line || undefined,
    pass: Object.entries(search.passes).map(([block, pass]) => `${block}#${pass}`),
    open: search.opened,
    text: search.text || undefined,
    kind: search.kinds,
  };
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "string" && /^\d{1,15}$/.test(value) && Number(value) > 0 ? Number(value) : undefined;
}

function passOf(text: string): [string, number][] {
  const match = /^(.+)#(\d{1,9})$/.exec(text);
  return match ? [[match[1]!, Number(match[2])]] : [];
}

export type Go = (change: Partial<RunSearch>, options?: { replace?: boolean }) => void;

/** The page's state, and how to change it. */
export function useRunSearch(): [RunSearch, Go] {
  const raw = useSearch({ strict: false }) as Record<string, unknown>;
  const navigate = useNavigate();
  const search = useMemo(() => parseRunSearch(raw), [raw]);
  const go = useCallback<Go>(
    (change, options) => {
      const next = (before: Record<string, unknown>) => formatRunSearch({ ...parseRunSearch(before), ...change });
      void navigate({ to: ".", search: next as never, replace: options?.replace ?? false });
    },
    [navigate],
  );
  return [search, go];
}
