import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { faultOf } from "../fault";
import { Hub, type LineState, type OpenTopic, type Response } from "./hub";

/** A stream under the hand of a test. */
class FakeStream {
  readonly queue: Response[] = [];
  closed: unknown;
  private wake: () => void = () => {};

  constructor(
    readonly topics: readonly OpenTopic<string>[],
    signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => this.close(new ConnectError("aborted", Code.Canceled)));
  }

  send(key: string, cursor: string): void {
    this.queue.push({ key, cursor, snapshot: false });
    this.wake();
  }

  close(reason: unknown): void {
    this.closed ??= reason;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Response> {
    for (;;) {
      while (this.queue.length > 0) yield this.queue.shift()!;
      if (this.closed !== undefined) throw this.closed;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

function setUp() {
  const streams: FakeStream[] = [];
  const delivered: [string, string][] = [];
  const states: LineState[] = [];
  const hub = new Hub<string, Response>({
    open: (topics, signal) => {
      const stream = new FakeStream(topics, signal);
      streams.push(stream);
      return stream;
    },
    deliver: (key, { cursor }) => delivered.push([key, cursor]),
    faultOf,
    tell: (state) => states.push(state),
    delay: (failures) => failures * 100,
  });
  return { hub, streams, delivered, states };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const tick = (ms = 20) => vi.advanceTimersByTimeAsync(ms);

test("the topics of all pages share one stream", async () => {
  const { hub, streams, delivered } = setUp();
  hub.follow("a", { topic: "run 1", intervalMs: 0 });
  hub.follow("b", { topic: "run 2", intervalMs: 0 });
  await tick();
  expect(streams).toHaveLength(1);
  expect(streams[0]!.topics.map(({ key, cursor }) => [key, cursor])).toEqual([
    ["a", ""],
    ["b", ""],
  ]);
  streams[0]!.send("b", "b1");
  await tick(0);
  expect(delivered).toEqual([["b", "b1"]]);
});

test("a broken stream goes on at the cursors, later each time", async () => {
  const { hub, streams, states } = setUp();
  hub.follow("a", { topic: "run 1", intervalMs: 0 });
  await tick();
  streams[0]!.send("a", "a7");
  await tick(0);
  streams[0]!.close(new ConnectError("gone", Code.Unavailable));
  await tick(0);
  expect(states.at(-1)).toMatchObject({ state: "lost" });
  await tick(99);
  expect(streams).toHaveLength(1);
  await tick(1);
  expect(streams[1]!.topics[0]).toMatchObject({ key: "a", cursor: "a7" });
  streams[1]!.close(new ConnectError("gone", Code.Unavailable));
  await tick(199);
  expect(streams).toHaveLength(2);
  await tick(1);
  expect(streams).toHaveLength(3);
});

test("a new topic opens a stream that goes on with the old ones where they are", async () => {
  const { hub, streams, delivered } = setUp();
  hub.follow("a", { topic: "run 1", intervalMs: 0 });
  await tick();
  streams[0]!.send("a", "a1");
  await tick(0);
  hub.follow("b", { topic: "run 2", intervalMs: 0 });
  await tick();
  expect(streams[1]!.topics.map(({ cursor }) => cursor)).toEqual(["a1", ""]);
  streams[0]!.send("a", "late");
  await tick(0);
  expect(delivered).toEqual([["a", "a1"]]);
});

test("a stream that gives no sign of life is given up", async () => {
  const { hub, streams, states } = setUp();
  hub.follow("a", { topic: "run 1", intervalMs: 0 });
  await tick();
  streams[0]!.send("", "");
  await tick(14_999);
  expect(streams).toHaveLength(1);
  await tick(1);
  expect(states.at(-1)).toMatchObject({ state: "lost" });
  await tick(100);
  expect(streams).toHaveLength(2);
});

test("who is signed out is not asked for until somebody signs in", async () => {
  const { hub, streams, states } = setUp();
  hub.follow("a", { topic: "run 1", intervalMs: 0 });
  await tick();
  streams[0]!.close(new ConnectError("no session", Code.Unauthenticated));
  await tick(60_000);
  expect(streams).toHaveLength(1);
  expect(states.at(-1)).toMatchObject({ state: "signed-out" });
  hub.wake();
  await tick(0);
  expect(streams).toHaveLength(2);
});

test("that the stream is good is told now and then, and at once after it was lost", async () => {
  const { hub, streams, states } = setUp();
  hub.follow("a", { topic: "run 1", intervalMs: 0 });
  await tick();
  for (let at = 0; at < 20; at++) streams[0]!.send("a", `a${at}`);
  await tick(0);
  expect(states.map(({ state }) => state)).toEqual(["good"]);
  streams[0]!.close(new ConnectError("gone", Code.Unavailable));
  await tick(100);
  streams[1]!.send("a", "a20");
  await tick(0);
  expect(states.map(({ state }) => state)).toEqual(["good", "lost", "good"]);
  await tick(300);
  streams[1]!.send("a", "a21");
  await tick(0);
  expect(states).toHaveLength(4);
});

test("a browser that knows that it is offline gives the stream up at once, and goes on at the cursors", async () => {
  const { hub, streams, states } = setUp();
  hub.follow("a", { topic: "run 1", intervalMs: 0 });
  await tick();
  streams[0]!.send("a", "a3");
  await tick(0);
  hub.cut();
  await tick(0);
  expect(states.at(-1)).toMatchObject({ state: "lost", fault: { kind: "away" } });
  expect(streams[0]!.closed).toBeDefined();
  await tick(100);
  expect(streams[1]!.topics[0]).toMatchObject({ key: "a", cursor: "a3" });
});

test("without topics nothing is open", async () => {
  const { hub, streams, states } = setUp();
  hub.follow("a", { topic: "run 1", intervalMs: 0 });
  await tick();
  hub.drop("a");
  await tick();
  expect(streams[0]!.closed).toBeDefined();
  expect(states.at(-1)).toEqual({ state: "idle" });
  await tick(60_000);
  expect(streams).toHaveLength(1);
});
