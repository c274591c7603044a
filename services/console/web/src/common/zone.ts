import { createKeptStore, useStore } from "./store";
import type { Zone } from "./time";

export const zoneStore = createKeptStore<Zone>("kaon-zone", ["local", "utc"], "local");

/** The clock that this person wants times in. */
export function useZone(): Zone {
  return useStore(zoneStore);
}
