/// <reference lib="webworker" />
/** Holds the one stream of this browser: a browser opens six connections to a host at most, and each tab would take one. */
import type { LineState } from "./hub";
import { type Encoded, type Notice, type Order, watchHub } from "./wire";

interface Tab {
  readonly port: MessagePort;
  readonly number: number;
  readonly keys: Set<string>;
}

const tabs = new Map<number, Tab>();
let count = 0;
let line: LineState | undefined;

const hub = watchHub(deliver, (state) => {
  line = state;
  for (const { port } of tabs.values()) port.postMessage({ line: state } satisfies Notice);
});

/** Two tabs may use one key: the stream knows them apart by the number of the tab. */
function deliver(key: string, { bytes }: Encoded): void {
  const [number, own] = splitKey(key);
  // Handed over, not copied.
  tabs.get(number)?.port.postMessage({ key: own, response: bytes } satisfies Notice, [bytes.buffer]);
}

function splitKey(key: string): [number, string] {
  const at = key.indexOf(":");
  return [Number(key.slice(0, at)), key.slice(at + 1)];
}

function obey(tab: Tab, order: Order): void {
  const key = "key" in order ? `${tab.number}:${order.key}` : "";
  if (order.do === "follow") {
    tab.keys.add(order.key);
    hub.follow(key, order);
  } else if (order.do === "drop") {
    tab.keys.delete(order.key);
    hub.drop(key);
  } else if (order.do === "pace") hub.pace(key, order.intervalMs);
  else if (order.do === "wake") hub.wake();
  else if (order.do === "cut") hub.cut();
  // The tab holds this lock as long as it lives: whoever gets it knows that the tab is gone, whatever became of it.
  else void navigator.locks.request(order.lock, () => forget(tab));
}

function forget(tab: Tab): void {
  for (const key of tab.keys) hub.drop(`${tab.number}:${key}`);
  tabs.delete(tab.number);
  tab.port.close();
}

(self as unknown as SharedWorkerGlobalScope).onconnect = (event) => {
  const port = event.ports[0]!;
  count += 1;
  const tab: Tab = { port, number: count, keys: new Set() };
  tabs.set(tab.number, tab);
  port.onmessage = ({ data }: MessageEvent<Order>) => obey(tab, data);
  if (line) port.postMessage({ line } satisfies Notice);
};
