import { create } from "@bufbuild/protobuf";
import { type Topic, TopicSchema, type WatchResponse } from "../../gen/kaonapi/view/v1/watch_pb";
import { retryDelay } from "../delay";
import { views } from "../views";
import { Hub, type LineState } from "./hub";

/** What a page follows: `{ case: "runs", value: {...} }`. */
export type LiveTopic = Topic["topic"];

/** From a page to whoever has the stream. */
export type Order =
  | { readonly do: "follow"; readonly key: string; readonly topic: LiveTopic; readonly intervalMs: number }
  | { readonly do: "drop"; readonly key: string }
  | { readonly do: "pace"; readonly key: string; readonly intervalMs: number }
  | { readonly do: "wake" }
  | { readonly do: "cut" }
  | { readonly do: "hello"; readonly lock: string };

/** From whoever has the stream to a page. */
export type Notice = { readonly key: string; readonly response: WatchResponse } | { readonly line: LineState };

/** Makes a hub that follows the server's Watch. */
export function watchHub(
  deliver: (key: string, response: WatchResponse) => void,
  tell: (state: LineState) => void,
): Hub<LiveTopic, WatchResponse> {
  return new Hub({
    open: (topics, signal) =>
      views.watch(
        {
          topics: topics.map(({ key, cursor, intervalMs, topic }) =>
            create(TopicSchema, { key, cursor, intervalMs, topic }),
          ),
        },
        { signal },
      ),
    deliver,
    tell,
    delay: (failures) => retryDelay(failures - 1),
  });
}
