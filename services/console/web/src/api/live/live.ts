import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { useEffect, useRef } from "react";
import { flushSync } from "react-dom";
import {
  type Topic,
  TopicFailureSchema,
  TopicSchema,
  type WatchResponse,
  WatchResponseSchema,
} from "../../gen/kaonapi/view/v1/watch_pb";
import { noteGood, noteIdle, noteLost, noteSignedOut } from "../connection";
import { perFrame } from "./frames";
import type { LineState } from "./hub";
import { type Notice, type Order, watchHub } from "./wire";

/** What a page follows: `{ case: "runs", value: {...} }`. */
export type LiveTopic = Topic["topic"];

/** How often a page that nobody sees is told: once a second. */
const HIDDEN_MS = 1000;

interface Follower {
  readonly topic: LiveTopic;
  readonly take: (response: WatchResponse) => void;
  readonly intervalMs: number;
}

type Told = Extract<Notice, { response: unknown }>;

const followers = new Map<string, Follower>();
let send: ((order: Order) => void) | undefined;
let show: (told: Told) => void = () => {};
let counter = 0;

/**
 * Follows a topic until the returned function is called. The first response is a snapshot; the following ones hold what has changed.
 * A response may come twice, and another snapshot at any time: `snapshot` says that what was known is to be forgotten. A failure says that
 * nothing comes of the topic, or of none while the server refuses the stream.
 */
export function follow(topic: LiveTopic, take: (response: WatchResponse) => void, intervalMs = 0): () => void {
  counter += 1;
  const key = String(counter);
  followers.set(key, { topic, take, intervalMs });
  const encoded = toBinary(TopicSchema, create(TopicSchema, { topic }));
  line()({ do: "follow", key, topic: encoded, intervalMs: pace(intervalMs) });
  return () => {
    followers.delete(key);
    line()({ do: "drop", key });
  };
}

/** Follows a topic as long as the component is shown; a topic of another `id` is another one. Undefined follows nothing. */
export function useFollow(
  id: string,
  topic: LiveTopic | undefined,
  take: (response: WatchResponse) => void,
  intervalMs = 0,
): void {
  const newest = useRef({ topic, take });
  newest.current = { topic, take };
  const present = topic !== undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `id` stands for the topic, whose object is another one each time
  useEffect(() => {
    const { topic } = newest.current;
    return topic && follow(topic, (response) => newest.current.take(response), intervalMs);
  }, [id, present, intervalMs]);
}

/** Tries at once to reach the server again. */
export function wakeLive(): void {
  if (followers.size > 0) line()({ do: "wake" });
}

function pace(intervalMs: number): number {
  return document.hidden ? Math.max(HIDDEN_MS, intervalMs) : intervalMs;
}

function line(): (order: Order) => void {
  send ??= connect();
  return send;
}

function connect(): (order: Order) => void {
  // Rendered when it is handed over, not in a frame after the next.
  show = perFrame((told) => flushSync(() => told.forEach(give)));
  document.addEventListener("visibilitychange", () => {
    for (const [key, { intervalMs }] of followers) line()({ do: "pace", key, intervalMs: pace(intervalMs) });
  });
  window.addEventListener("online", wakeLive);
  window.addEventListener("offline", () => line()({ do: "cut" }));
  return typeof SharedWorker === "function" && navigator.locks ? connectShared() : connectOwn();
}

function connectShared(): (order: Order) => void {
  const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name: "kaon-live" });
  const lock = `kaon-tab-${crypto.randomUUID()}`;
  worker.port.onmessage = ({ data }: MessageEvent<Notice>) => hear(data);
  // Held until the tab is gone. The worker may ask for it once it is held, not before.
  void navigator.locks.request(lock, () => {
    worker.port.postMessage({ do: "hello", lock } satisfies Order);
    return new Promise(() => {});
  });
  return (order) => worker.port.postMessage(order);
}

function connectOwn(): (order: Order) => void {
  const hub = watchHub(
    (key, { bytes }) => hear({ key, response: bytes }),
    (state) => hear({ line: state }),
  );
  return (order) => {
    if (order.do === "follow") hub.follow(order.key, order);
    else if (order.do === "drop") hub.drop(order.key);
    else if (order.do === "pace") hub.pace(order.key, order.intervalMs);
    else if (order.do === "cut") hub.cut();
    else hub.wake();
  };
}

function hear(notice: Notice): void {
  if ("line" in notice) {
    noteLine(notice.line);
    tellRefusal(notice.line);
  } else show(notice);
}

/** What one follower cannot take is no loss for the others. */
function give({ key, response }: Told): void {
  try {
    followers.get(key)?.take(fromBinary(WatchResponseSchema, response));
  } catch (error) {
    reportError(error);
  }
}

/** A server that refuses the stream refuses each topic of it: a page that has nothing to show yet says so, and does not wait for ever. */
function tellRefusal(state: LineState): void {
  if (state.state !== "lost" || state.fault.kind === "away") return;
  const status = state.fault.kind === "forbidden" ? "PERMISSION_DENIED" : "INTERNAL";
  const value = create(TopicFailureSchema, { status, message: state.fault.message });
  const failure = create(WatchResponseSchema, { update: { case: "failure", value } });
  for (const { take } of [...followers.values()]) take(failure);
}

function noteLine(state: LineState): void {
  if (state.state === "good") noteGood("stream", state.at);
  else if (state.state === "idle") noteIdle();
  else if (state.state === "signed-out") noteSignedOut();
  else noteLost("stream", state.fault.kind === "away" ? state.fault.title : state.fault.message);
}
