/** The part of a whole log that is in memory: pages that follow each other, so many lines at most. Either end knows how to go on. */

import type { Line } from "./window";

/** Some lines, as the server tells them. */
export interface Page {
  readonly lines: readonly Line[];
  /** Goes on towards older lines; "" when these are the first. */
  readonly olderCursor: string;
  /** Goes on towards newer lines; "" when these are the last. */
  readonly newerCursor: string;
}

export const MOST_LINES = 20_000;

export class PageWindow {
  private lines: readonly Line[];
  olderCursor: string;
  newerCursor: string;

  constructor(
    page: Page,
    private readonly most = MOST_LINES,
  ) {
    this.lines = page.lines;
    this.olderCursor = page.olderCursor;
    this.newerCursor = page.newerCursor;
  }

  get total(): number {
    return this.lines.length;
  }

  items(): readonly Line[] {
    return this.lines;
  }

  /** Puts older lines before the others, and forgets the newest beyond the bound. */
  addOlder(page: Page): void {
    this.lines = [...page.lines, ...this.lines];
    this.olderCursor = page.olderCursor;
    if (this.lines.length <= this.most) return;
    this.lines = this.lines.slice(0, this.most);
    this.newerCursor = this.lines.at(-1)?.cursor ?? "";
  }

  /** Puts newer lines after the others, and forgets the oldest beyond the bound; returns how many it forgot. */
  addNewer(page: Page): number {
    this.lines = [...this.lines, ...page.lines];
    this.newerCursor = page.newerCursor;
    const forgotten = Math.max(0, this.lines.length - this.most);
    if (forgotten === 0) return 0;
    this.lines = this.lines.slice(forgotten);
    this.olderCursor = this.lines[0]?.cursor ?? "";
    return forgotten;
  }
}
