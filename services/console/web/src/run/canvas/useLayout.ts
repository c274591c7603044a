import { useQuery } from "@tanstack/react-query";
import type { GraphModel } from "../model/graph";
import type { Direction, Layout, LayoutScope } from "./layout";
import { layoutKey, layoutRequest } from "./request";

let worker: Worker | undefined;
let next = 0;
const waiting = new Map<number, (layout: Layout) => void>();

function layoutInWorker(root: LayoutScope, direction: Direction): Promise<Layout> {
  if (worker === undefined) {
    worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<{ id: number; layout: Layout }>) => {
      waiting.get(data.id)?.(data.layout);
      waiting.delete(data.id);
    });
  }
  const id = ++next;
  worker.postMessage({ id, root, direction });
  return new Promise((resolve) => waiting.set(id, resolve));
}

/** The layout of a version: computed once, whatever runs of it are looked at. */
export function useLayout(
  version: string,
  graph: GraphModel | undefined,
  closed: ReadonlySet<string>,
  direction: Direction,
  inner: readonly string[],
) {
  return useQuery({
    queryKey: ["layout", layoutKey(version, closed, direction, inner, graph?.around)],
    queryFn: () => layoutInWorker(layoutRequest(graph as GraphModel, closed), direction),
    enabled: graph !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    placeholderData: (before: Layout | undefined) => before,
    structuralSharing: false,
  });
}
