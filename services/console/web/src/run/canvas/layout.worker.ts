import { type Direction, type LayoutScope, layoutGraph } from "./layout";

self.addEventListener("message", (event: MessageEvent<{ id: number; root: LayoutScope; direction: Direction }>) => {
  const { id, root, direction } = event.data;
  self.postMessage({ id, layout: layoutGraph(root, direction) });
});
