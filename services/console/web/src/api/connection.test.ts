import { beforeEach, expect, test, vi } from "vitest";
import { noteGood, noteIdle, noteLost, onReturn } from "./connection";

beforeEach(() => noteGood("stream", 0));

test("a call that somebody else answers does not bring a lost stream back", () => {
  const back = vi.fn();
  const stop = onReturn(back);
  noteLost("stream", "The view service does not answer");
  noteGood("call", 1000);
  expect(back).not.toHaveBeenCalled();
  noteGood("stream", 2000);
  expect(back).toHaveBeenCalledTimes(1);
  stop();
});

test("a stream that is wanted no more is not missed", () => {
  const back = vi.fn();
  const stop = onReturn(back);
  noteLost("stream", "gone");
  noteIdle();
  expect(back).toHaveBeenCalledTimes(1);
  noteLost("call", "gone");
  noteIdle();
  expect(back).toHaveBeenCalledTimes(1);
  stop();
});
