import { QueryClient } from "@tanstack/react-query";
import { retryDelay } from "./delay";
import { mayPass } from "./fault";

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
