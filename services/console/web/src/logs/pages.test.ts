import { describe, expect, it } from "vitest";
import { type Page, PageWindow } from "./pages";
import type { Line } from "./window";

function page(from: number, to: number, last = 1_000): Page {
  const lines = Array.from({ length: to - from + 1 }, (_, at): Line => {
    const sequence = from + at;
    const where = { path: "s", attempt: 1, generation: 0, timeUs: 0, stream: 0 };
    return { ...where, key: `${sequence}`, sequence, text: `line ${sequence}`, cursor: `at ${sequence}` };
  });
  return {
    lines,
    olderCursor: from > 1 ? `before ${from}` : "",
    newerCursor: to < last ? `after ${to}` : "",
  };
}

const numbers = (window: PageWindow): number[] => window.items().map((line) => line.sequence);

describe("PageWindow", () => {
  it("grows at both ends, and knows when it has come to an end of the log", () => {
    const window = new PageWindow(page(101, 103));
    window.addOlder(page(1, 100));
    expect(window.olderCursor).toBe("");
    expect(window.newerCursor).toBe("after 103");
    window.addNewer(page(104, 1_000));
    expect(window.newerCursor).toBe("");
    expect(numbers(window)).toEqual(Array.from({ length: 1_000 }, (_, at) => at + 1));
  });

  it("forgets the end from which the reader goes away, and can go back there", () => {
    const window = new PageWindow(page(901, 1_000), 150);
    window.addOlder(page(801, 900));
    expect(numbers(window)).toEqual(Array.from({ length: 150 }, (_, at) => at + 801));
    expect(window.newerCursor).toBe("at 950");
    expect(window.addNewer(page(951, 1_000))).toBe(50);
    expect(numbers(window)).toEqual(Array.from({ length: 150 }, (_, at) => at + 851));
    expect(window.olderCursor).toBe("at 851");
  });

  it("holds no more, however far a reader goes", () => {
    const window = new PageWindow(page(1, 100, 100_000), 150);
    for (let from = 101; from < 5_000; from += 100) window.addNewer(page(from, from + 99, 100_000));
    expect(window.total).toBe(150);
  });
});
