import { QueryClient } from "@tanstack/react-query";
import { mayPass } from "./fault";

/** Waits before try number `attempt` + 1: longer each time, and with jitter, so that browsers do not return all at once. */
export function retryDelay(attempt: number, random = Math.random): number {
  const longest = Math.min(10_000, 500 * 2 ** attempt);
  return longest / 2 + random() * (longest / 2);
}

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      retry: (failures, error) => mayPass(error) && failures < 2,
      retryDelay: (attempt) => retryDelay(attempt),
      // The banner says that the line is lost; a query must not stop asking because the browser believes to be offline.
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});
