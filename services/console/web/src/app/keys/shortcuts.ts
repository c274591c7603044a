import { useEffect, useRef } from "react";
import { createStore, useStore } from "../../common/store";
import { advance, chordOf, isOperating, isTyping, type Keys, type Pending } from "./chord";

/** One shortcut that works at the moment. */
export interface Shortcut {
  readonly keys: Keys;
  /** What it does, for the list of shortcuts: "Go to runs". */
  readonly label: string;
  /** The heading in the list of shortcuts. */
  readonly group: string;
}

interface Bound extends Shortcut {
  readonly run: () => void;
}

const bound = createStore<readonly Bound[]>([]);
let pending: Pending | undefined;

/** Hands each press to the newest shortcut that it completes. */
export function handleKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.isComposing) return;
  const chord = chordOf(event);
  if (isTyping(event.target) && !chord.startsWith("mod+")) return;
  // In a dialogue, and in a menu, the keys are its own.
  if (document.querySelector('[role="dialog"], [role="menu"]') && !chord.startsWith("mod+")) return;
  if (isOperating(event.target, chord)) return;
  const all = bound.get();
  const next = advance(
    all.map(({ keys }) => keys),
    pending,
    chord,
    event.timeStamp,
  );
  pending = next.pending;
  if (next.hit === undefined) return;
  event.preventDefault();
  all.findLast(({ keys }) => keys === next.hit)?.run();
}

/** Binds a key while the component is shown. */
export function useShortcut(keys: Keys, label: string, run: () => void, group = "This page"): void {
  const newest = useRef(run);
  newest.current = run;
  useEffect(() => {
    const entry: Bound = { keys, label, group, run: () => newest.current() };
    bound.set([...bound.get(), entry]);
    return () => bound.set(bound.get().filter((other) => other !== entry));
  }, [keys, label, group]);
}

/** The shortcuts that work at the moment. */
export function useShortcuts(): readonly Shortcut[] {
  return useStore(bound);
}
