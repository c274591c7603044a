/** A shortcut as people read it: "mod+k", "g r", "?", "shift+x". Parts behind a space follow each other. */
export type Keys = string;

/** What of a keyboard event counts. */
export interface Press {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

/** How long the second key of "g r" may take. */
export const SEQUENCE_MS = 900;

/** Returns the press as a part of a shortcut: "mod+k", "g", "?". */
export function chordOf(press: Press): string {
  const named = press.key.length > 1 ? press.key.toLowerCase() : press.key;
  const key = press.shiftKey && /^[A-Z]$/.test(named) ? `shift+${named.toLowerCase()}` : named.toLowerCase();
  const alt = press.altKey ? "alt+" : "";
  return press.ctrlKey || press.metaKey ? `mod+${alt}${key}` : `${alt}${key}`;
}

/** What is pressed so far, and when it was. */
export interface Pending {
  readonly chord: string;
  readonly at: number;
}

/** Returns the shortcuts among `known` that a press completes, and what stays pending. */
export function advance(
  known: readonly Keys[],
  pending: Pending | undefined,
  chord: string,
  now: number,
): { hit?: Keys; pending?: Pending } {
  const fresh = pending && now - pending.at <= SEQUENCE_MS ? pending : undefined;
  const sequence = fresh && `${fresh.chord} ${chord}`;
  if (sequence && known.includes(sequence)) return { hit: sequence };
  if (known.includes(chord)) return { hit: chord };
  const begins = known.some((keys) => keys.startsWith(`${chord} `));
  return begins ? { pending: { chord, at: now } } : {};
}

/** Whether the press belongs to a field in which somebody writes. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

/** Whether the press operates what has the focus: Enter and the space bar press a button, and follow a link. */
export function isOperating(target: EventTarget | null, chord: string): boolean {
  if (chord !== "enter" && chord !== " ") return false;
  return target instanceof Element && target.closest("a, button, summary, [role=slider]") !== null;
}

/** Returns the parts of a shortcut as keyboards label them. */
export function labelsOf(keys: Keys, apple: boolean): string[] {
  return keys.split(" ").flatMap((chord, index) => [
    ...(index > 0 ? ["then"] : []),
    ...chord.split("+").map((key) => {
      if (key === "mod") return apple ? "⌘" : "Ctrl";
      if (key === "escape") return "Esc";
      if (key === "enter") return "↵";
      return key.length === 1 ? key.toUpperCase() : key[0]!.toUpperCase() + key.slice(1);
    }),
  ]);
}
