import { createStore, useStore } from "../common/store";

/** How the line to the server stands, as the newest calls found it. */
export interface Connection {
  readonly state: "good" | "lost" | "signed-out";
  /** When the last good answer came, milliseconds since the epoch; 0 before the first. */
  readonly goodAt: number;
  readonly reason: string;
}

const store = createStore<Connection>({ state: "good", goodAt: 0, reason: "" });

/** Notes that the server answered. */
export function noteGood(now = Date.now()): void {
  const { state, goodAt } = store.get();
  // At most twice a second: each note renders what follows the store.
  if (state !== "good" || now - goodAt > 500) store.set({ state: "good", goodAt: now, reason: "" });
}

/** Notes that nobody answered. */
export function noteLost(reason: string): void {
  if (store.get().state !== "lost") store.set({ ...store.get(), state: "lost", reason });
}

/** Notes that the session has ended. What stands in forms stays. */
export function noteSignedOut(): void {
  if (store.get().state !== "signed-out")
    store.set({ ...store.get(), state: "signed-out", reason: "Your session has ended." });
}

export function useConnection(): Connection {
  return useStore(store);
}
