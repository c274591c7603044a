/** The lines of a log that are in memory: the first ones and the newest ones, never all of them. */

export const STDOUT = 1;
export const STDERR = 2;
export const SYSTEM = 3;

/** One line, with the lease that printed it. */
export interface Line {
  /** Unique in the log: the lease and the number of the line in it. */
  readonly key: string;
  readonly path: string;
  readonly attempt: number;
  readonly generation: number;
  readonly sequence: number;
  readonly timeUs: number;
  readonly stream: number;
  readonly text: string;
  /** Points at the line, for the server; of lines of a page. */
  readonly cursor?: string;
  /** More than 0: the line is longer than `text`, so many bytes in all. */
  readonly cutBytes?: number;
  /** It goes on the line before, which was shown before its end came. */
  readonly continues?: boolean;
  /** Before this line, so many lines are only in the whole log. */
  readonly missingBefore?: number;
}

/** Lines that are not here. */
export interface Gap {
  readonly key: string;
  readonly count: number;
  /** "left-out": this page dropped them; "not-kept": the server has them in the whole log alone; "lost": the runner could not send them. */
  readonly why: "left-out" | "not-kept" | "lost";
}

export type Item = Line | Gap;

export function isGap(item: Item): item is Gap {
  return "why" in item;
}

export interface Bounds {
  readonly head: number;
  readonly tail: number;
}

export const BOUNDS: Bounds = { head: 2_000, tail: 18_000 };

/** Keeps head and tail; `version` changes with every append, so that a view knows when to draw. */
export class LogWindow {
  private readonly head: Item[] = [];
  private tail: Item[] = [];
  private leftOut = 0;
  private readonly newest = new Map<string, number>();
  version = 0;
  total = 0;

  constructor(private readonly bounds: Bounds = BOUNDS) {}

  /** Adds lines in the order in which they came; one that came before is not added again, a missing one becomes a gap. */
  append(lines: readonly Line[]): void {
    let changed = false;
    for (const line of lines) {
      const lease = leaseOf(line);
      const before = this.newest.get(lease) ?? 0;
      if (line.sequence <= before) continue;
      // The first line that comes of a lease need not be its first one: older ones are asked for.
      const missing = line.missingBefore ?? 0;
      if (missing > 0) this.add(gapBetween(lease, line.sequence - missing - 1, line.sequence, "not-kept"));
      else if (before > 0 && line.sequence > before + 1) this.add(gapBetween(lease, before, line.sequence, "lost"));
      this.newest.set(lease, line.sequence);
      this.add(line);
      this.total++;
      changed = true;
    }
    if (changed) this.version++;
  }

  /** Puts older lines before all others; those that are known are left out. */
  prepend(lines: readonly Line[]): void {
    const known = new Set(this.head.map((item) => item.key));
    const fresh = lines.filter((line) => !known.has(line.key));
    this.head.unshift(
      ...fresh.flatMap((line): Item[] => {
        const missing = line.missingBefore ?? 0;
        if (missing === 0) return [line];
        return [gapBetween(leaseOf(line), line.sequence - missing - 1, line.sequence, "not-kept"), line];
      }),
    );
    this.total += fresh.length;
    this.version++;
  }

  /** Says that the server does not keep some lines of a lease apart from its whole log. */
  missing(lease: { path: string; attempt: number; generation: number }, first: number, last: number): void {
    const key = leaseOf(lease);
    const before = this.newest.get(key) ?? 0;
    if (last <= before) return;
    this.add({ key: `${key}:${first}-${last}`, count: last - Math.max(first, before + 1) + 1, why: "not-kept" });
    this.newest.set(key, last);
    this.version++;
  }

  /** Everything that is shown, with a gap where lines were dropped here. */
  items(): Item[] {
    if (this.leftOut === 0) return [...this.head, ...this.tail];
    const gap: Gap = { key: "left-out", count: this.leftOut, why: "left-out" };
    return [...this.head, gap, ...this.tail];
  }

  private add(item: Item): void {
    if (this.head.length < this.bounds.head) {
      this.head.push(item);
      return;
    }
    this.tail.push(item);
    // In one go, not one by one: dropping the first of an array moves all the others.
    if (this.tail.length > this.bounds.tail * 1.25) {
      const dropped = this.tail.splice(0, this.tail.length - this.bounds.tail);
      this.leftOut += dropped.reduce((sum, old) => sum + (isGap(old) ? old.count : 1), 0);
    }
  }
}

/** What a view follows: it stays at the end while it is there, and never moves when a reader has scrolled away. */
export interface Scroll {
  readonly top: number;
  readonly height: number;
  readonly content: number;
}

export function atEnd(scroll: Scroll, slack = 24): boolean {
  return scroll.content - scroll.top - scroll.height <= slack;
}

/** Which items a text is found in; at most `most` places, and how many there are in all. */
export function search(
  items: readonly Item[],
  text: string,
  plain: (line: string) => string,
  most = 10_000,
): { places: number[]; total: number } {
  const wanted = text.toLowerCase();
  const places: number[] = [];
  let total = 0;
  if (wanted === "") return { places, total };
  items.forEach((item, index) => {
    if (isGap(item) || !plain(item.text).toLowerCase().includes(wanted)) return;
    total++;
    if (places.length < most) places.push(index);
  });
  return { places, total };
}

export function leaseOf(line: { path: string; attempt: number; generation: number }): string {
  return `${line.path}@${line.attempt}.${line.generation}`;
}

/** Names a line in the URL: it says the same tomorrow. */
export function lineName(line: Line): string {
  return `${line.attempt}.${line.generation}.${line.sequence}`;
}

/** Whether a name is that of a line; in the whole log of an attempt no lease is known. */
export function isNamed(line: Line, name: string): boolean {
  const [attempt, generation, sequence] = name.split(".").map(Number);
  if (line.attempt !== attempt || line.sequence !== sequence) return false;
  return line.generation === generation || line.generation === 0 || generation === 0;
}

function gapBetween(lease: string, before: number, next: number, why: Gap["why"]): Gap {
  return { key: `${lease}:${before + 1}-${next - 1}`, count: next - before - 1, why };
}
