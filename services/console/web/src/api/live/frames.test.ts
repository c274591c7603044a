import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { perFrame } from "./frames";

let frames: (() => void)[];
let page: EventTarget & { hidden: boolean };

beforeEach(() => {
  frames = [];
  page = Object.assign(new EventTarget(), { hidden: false });
  vi.stubGlobal("document", page);
  vi.stubGlobal("requestAnimationFrame", (back: () => void) => frames.push(back));
  vi.useFakeTimers({ toFake: ["setTimeout", "performance"] });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const frame = () => {
  for (const back of frames.splice(0)) back();
};

test("what comes after a rest waits for no frame, and what comes with it is handed over with it", () => {
  const handed: number[][] = [];
  const give = perFrame<number>((all) => handed.push([...all]));
  give(1);
  give(2);
  expect(handed).toEqual([]);
  vi.advanceTimersByTime(0);
  expect(handed).toEqual([[1, 2]]);
  vi.advanceTimersByTime(50);
  give(3);
  vi.advanceTimersByTime(0);
  expect(handed).toEqual([[1, 2], [3]]);
  expect(frames).toEqual([]);
});

test("what comes soon after waits for the next frame, and is handed over at once, in its order", () => {
  const handed: number[][] = [];
  const give = perFrame<number>((all) => handed.push([...all]));
  give(1);
  vi.advanceTimersByTime(0);
  vi.advanceTimersByTime(5);
  give(2);
  give(3);
  vi.advanceTimersByTime(5);
  expect(handed).toEqual([[1]]);
  frame();
  frame();
  expect(handed).toEqual([[1], [2, 3]]);
});

test("a page that renders for long is not handed more before it has shown that", () => {
  const handed: number[][] = [];
  const give = perFrame<number>((all) => {
    handed.push([...all]);
    vi.advanceTimersByTime(40);
  });
  give(1);
  vi.advanceTimersByTime(0);
  give(2);
  vi.advanceTimersByTime(0);
  expect(handed).toEqual([[1]]);
  frame();
  expect(handed).toEqual([[1], [2]]);
});

test("a page that nobody sees is told without a frame", async () => {
  const handed: number[][] = [];
  const give = perFrame<number>((all) => handed.push([...all]));
  page.hidden = true;
  give(1);
  await vi.runAllTimersAsync();
  expect(handed).toEqual([[1]]);
});

test("what waits for a frame is handed over when the page is hidden", () => {
  const handed: number[][] = [];
  const give = perFrame<number>((all) => handed.push([...all]));
  give(1);
  vi.advanceTimersByTime(0);
  give(2);
  page.hidden = true;
  page.dispatchEvent(new Event("visibilitychange"));
  expect(handed).toEqual([[1], [2]]);
  frame();
  expect(handed).toEqual([[1], [2]]);
});
