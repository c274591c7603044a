import { describe, expect, it } from "vitest";
import { atEnd, isGap, type Line, LogWindow, lineName, search } from "./window";

function line(sequence: number, over: Partial<Line> = {}): Line {
  const base = { path: "train", attempt: 1, generation: 1, timeUs: sequence, stream: 1, text: `line ${sequence}` };
  const made = { ...base, sequence, key: "", ...over };
  return { ...made, key: `${made.path}@${made.attempt}.${made.generation}:${made.sequence}` };
}

const lines = (from: number, to: number): Line[] => Array.from({ length: to - from + 1 }, (_, at) => line(from + at));

describe("LogWindow", () => {
  it("takes each line once, however often the stream begins again", () => {
    const log = new LogWindow();
    log.append(lines(1, 3));
    log.append(lines(1, 5));
    expect(log.items().map((item) => (isGap(item) ? "gap" : item.sequence))).toEqual([1, 2, 3, 4, 5]);
    expect(log.total).toBe(5);
  });

  it("says where lines are missing and how many", () => {
    const log = new LogWindow();
    log.append([line(1), line(5)]);
    expect(log.items()[1]).toMatchObject({ count: 3, why: "lost" });
    log.missing({ path: "train", attempt: 1, generation: 1 }, 6, 105);
    log.append([line(106)]);
    expect(log.items().filter(isGap)).toMatchObject([
      { count: 3, why: "lost" },
      { count: 100, why: "not-kept" },
    ]);
  });

  it("puts older lines before the others, each once", () => {
    const log = new LogWindow();
    log.append(lines(11, 12));
    log.prepend(lines(8, 11));
    expect(log.items().map((item) => (isGap(item) ? "gap" : item.sequence))).toEqual([8, 9, 10, 11, 12]);
  });

  it("keeps the lines of two attempts apart", () => {
    const log = new LogWindow();
    log.append([line(1), line(1, { attempt: 2, generation: 2 })]);
    expect(log.items()).toHaveLength(2);
  });

  it("never holds more than head and tail, and says what it dropped", () => {
    const log = new LogWindow({ head: 10, tail: 100 });
    log.append(lines(1, 20_000));
    const items = log.items();
    expect(items.length).toBeLessThanOrEqual(10 + 1 + 125);
    expect(items[9]).toMatchObject({ sequence: 10 });
    const gap = items[10];
    const shown = items.filter((item) => !isGap(item)).length;
    expect(gap).toMatchObject({ why: "left-out", count: 20_000 - shown });
    expect(items.at(-1)).toMatchObject({ sequence: 20_000 });
  });
});

it("follows the end only while the reader is there", () => {
  expect(atEnd({ top: 900, height: 100, content: 1_000 })).toBe(true);
  expect(atEnd({ top: 890, height: 100, content: 1_000 })).toBe(true);
  expect(atEnd({ top: 500, height: 100, content: 1_000 })).toBe(false);
});

it("finds text without regard to case, and counts beyond its bound", () => {
  const found = search(lines(1, 30), "LINE 1", (text) => text, 5);
  expect(found.places).toEqual([0, 9, 10, 11, 12]);
  expect(found.total).toBe(11);
  expect(search(lines(1, 3), "", (text) => text).total).toBe(0);
});

it("names a line by what does not change", () => {
  expect(lineName(line(7, { attempt: 2, generation: 5 }))).toBe("2.5.7");
});
