import { useSyncExternalStore } from "react";

/** A value outside of React that components follow. */
export interface Store<T> {
  get(): T;
  set(value: T): void;
  subscribe(listener: () => void): () => void;
}

export function createStore<T>(initial: T): Store<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** A store whose value outlives the page, where the browser allows that. */
export function createKeptStore<T extends string>(key: string, values: readonly T[], initial: T): Store<T> {
  const store = createStore(read(key, values) ?? initial);
  store.subscribe(() => keep(key, store.get()));
  return store;
}

function read<T extends string>(key: string, values: readonly T[]): T | undefined {
  try {
    return values.find((value) => value === localStorage.getItem(key));
  } catch {
    return undefined;
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // A browser that forbids storage forgets the choice with the page.
  }
}

export function useStore<T>(store: Store<T>): T {
  return useSyncExternalStore(store.subscribe, store.get);
}
