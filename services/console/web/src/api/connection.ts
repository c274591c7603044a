import { createStore, useStore } from "../common/store";

/** How the line to the server stands, as the newest calls found it. */
export interface Connection {
  readonly state: "good" | "lost" | "signed-out";
  /** When the last good answer came, milliseconds since the epoch; 0 before the first. */
  readonly goodAt: number;
  readonly reason: string;
}

/** A stream that follows what is shown, or a call that answers once. */
type Source = "stream" | "call";

const store = createStore<Connection>({ state: "good", goodAt: 0, reason: "" });
/** Whose loss the store tells of. */
let lostBy: Source | undefined;

/**
 * Notes that the server answered. A call that somebody else answers does not bring a lost stream back: what it follows stays old until
 * the stream itself goes on.
 */
export function noteGood(by: Source, now = Date.now()): void {
  const { state, goodAt } = store.get();
  if (state === "lost" && lostBy === "stream" && by === "call") return;
  // At most twice a second: each note renders what follows the store.
  if (state !== "good" || now - goodAt > 500) store.set({ state: "good", goodAt: now, reason: "" });
}

/** Notes that nobody answered. */
export function noteLost(by: Source, reason: string): void {
  const { state } = store.get();
  if (state === "lost" && (lostBy === "stream" || by === "call")) return;
  lostBy = by;
  store.set({ ...store.get(), state: "lost", reason });
}

/** Notes that nothing is followed any more: a lost stream says nothing of what is shown now. */
export function noteIdle(): void {
  if (store.get().state === "lost" && lostBy === "stream") store.set({ ...store.get(), state: "good", reason: "" });
}

/** Notes that the session has ended. What stands in forms stays. */
export function noteSignedOut(): void {
  if (store.get().state !== "signed-out")
    store.set({ ...store.get(), state: "signed-out", reason: "Your session has ended." });
}

export function useConnection(): Connection {
  return useStore(store);
}

/** Calls back whenever an answer comes after the line was lost, until the returned function is called. */
export function onReturn(back: () => void): () => void {
  let before = store.get().state;
  return store.subscribe(() => {
    const { state } = store.get();
    if (before !== "good" && state === "good") back();
    before = state;
  });
}
