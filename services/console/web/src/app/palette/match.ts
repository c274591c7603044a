/** One thing that the command palette offers. */
export interface Entry {
  readonly id: string;
  readonly group: string;
  readonly title: string;
  /** Further words by which it is found. */
  readonly words?: string;
  /** What stands at its end: an age, a shortcut. */
  readonly hint?: string;
}

/** Returns how well a text matches the words of a query; 0 is not at all. */
export function scoreOf(query: string, title: string, words = ""): number {
  const parts = query.toLowerCase().split(/\s+/).filter(Boolean);
  let total = 0;
  for (const part of parts) {
    const score = Math.max(partScore(part, title.toLowerCase()), partScore(part, words.toLowerCase()) * 0.6);
    if (score === 0) return 0;
    total += score;
  }
  return parts.length === 0 ? 1 : total / parts.length;
}

function partScore(part: string, text: string): number {
  const at = text.indexOf(part);
  if (at === 0) return 1;
  if (at > 0) return /[\s\-_/.:#[]/.test(text[at - 1]!) ? 0.9 : 0.6;
  return scattered(part, text) ? 0.2 : 0;
}

/** Whether the letters of the part come in the text in their order. */
function scattered(part: string, text: string): boolean {
  if (part.length < 3) return false;
  let from = 0;
  for (const letter of part) {
    const at = text.indexOf(letter, from);
    if (at < 0) return false;
    from = at + 1;
  }
  return true;
}

/** Returns the entries that match, best first within each group; groups keep the order of their first entry. */
export function matching<T extends Entry>(entries: readonly T[], query: string, perGroup = 8): [string, T[]][] {
  const groups = new Map<string, { entry: T; score: number }[]>();
  for (const entry of entries) {
    const score = scoreOf(query, entry.title, entry.words);
    if (score > 0) groups.set(entry.group, [...(groups.get(entry.group) ?? []), { entry, score }]);
  }
  return [...groups].map(([group, found]) => [
    group,
    found
      .sort((a, b) => b.score - a.score)
      .slice(0, perGroup)
      .map(({ entry }) => entry),
  ]);
}
