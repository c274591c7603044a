import { retryDelay } from "../delay";
import { AWAY, type Fault, faultBy } from "../fault";
import { Hub, type LineState, type OpenTopic, type Response } from "./hub";
import { apart, headOf } from "./messages";
import { openStream, Refused } from "./stream";

/** From a page to whoever has the stream. */
export type Order =
  /** `topic` is an encoded Topic that lacks what belongs to the hub: key, cursor and pace. */
  | { readonly do: "follow"; readonly key: string; readonly topic: Uint8Array; readonly intervalMs: number }
  | { readonly do: "drop"; readonly key: string }
  | { readonly do: "pace"; readonly key: string; readonly intervalMs: number }
  | { readonly do: "wake" }
  | { readonly do: "cut" }
  | { readonly do: "hello"; readonly lock: string };

/** From whoever has the stream to a page: `response` is an encoded WatchResponse. */
export type Notice =
  | { readonly key: string; readonly response: Uint8Array<ArrayBuffer> }
  | { readonly line: LineState };

/** A response as it came, and what the hub reads of it. */
export interface Encoded extends Response {
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Makes a hub that follows the server's Watch. It decodes nothing: the page that shows a response does. */
export function watchHub(
  deliver: (key: string, response: Encoded) => void,
  tell: (state: LineState) => void,
): Hub<Uint8Array, Encoded> {
  return new Hub({ open: heads, deliver, tell, faultOf, delay: (failures) => retryDelay(failures - 1) });
}

async function* heads(topics: readonly OpenTopic<Uint8Array>[], signal: AbortSignal): AsyncGenerator<Encoded> {
  for await (const told of openStream(topics, signal)) {
    for (const bytes of apart(told)) yield { ...headOf(bytes), bytes };
  }
}

/** Whatever the server has not said, the network has. */
function faultOf(error: unknown): Fault {
  return error instanceof Refused ? faultBy(error.code, error.message) : AWAY;
}
