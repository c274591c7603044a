import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { views } from "../clients";
import { useRunPage } from "../context";
import { type CellLevel, chosenCell, openedName } from "../model/inner";

/** A sub-workflow in the cells of a foreach, and the index of the cell; undefined: the first in which it has begun. */
type Place = Pick<CellLevel, "block" | "nodes"> & { readonly index?: number };

/** Returns a function that opens the sub-workflow of a cell in the drawing, in place of that of another cell. */
export function useOpenCell(): (place: Place) => void {
  const { runId, search, go } = useRunPage();
  const client = useQueryClient();
  return useCallback(
    (place: Place) => {
      void pathOf(client, runId, place).then((path) => {
        const cell = path ? chosenCell(path) : undefined;
        if (!cell) return;
        const others = search.opened.filter((each) => openedName(each) !== cell.name);
        go({ opened: [...others, cell.path] }, { replace: true });
      });
    },
    [client, runId, search.opened, go],
  );
}

/** Cells that are looked through for one in which something has begun. */
const FIRST = 100;
/** Cells that are looked through for one that has a key. */
const LOOKED = 1_000;

/** The path of the sub-workflow, cell by cell: of a foreach within a cell, the first cell in which it has begun. */
async function pathOf(client: QueryClient, runId: string, { block, nodes, index }: Place): Promise<string | undefined> {
  const [node = "", ...further] = nodes;
  const indexes = index === undefined ? [] : [BigInt(index)];
  const { cells } = await client.fetchQuery({
    queryKey: ["cell-at", runId, block, node, index],
    queryFn: () => views.listCells({ runId, block, node, indexes, pageSize: FIRST }),
  });
  for (const { nodePath } of cells) {
    if (nodePath === "") continue;
    const path = further.length === 0 ? nodePath : await pathOf(client, runId, { block: nodePath, nodes: further });
    if (path !== undefined) return path;
  }
  return undefined;
}

/** The index of a cell among all of its foreach; undefined until it is known, and where too many have keys that hold its own. */
export function useCellIndex({ block, key, scope }: CellLevel): { index: number | undefined; total: number } {
  const { runId, view } = useRunPage();
  const { data } = useQuery({
    queryKey: ["cell-index", runId, scope],
    queryFn: async ({ signal }) => {
      const { cells } = await views.listCells({ runId, block, text: key, pageSize: LOOKED }, { signal });
      const cell = cells.find(({ path }) => path === scope);
      return cell === undefined ? null : Number(cell.index);
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  const outermost = view.blocks.find(({ path }) => path === block)?.total;
  // A foreach in a cell is among the blocks of that cell only.
  const inner = useQuery({
    queryKey: ["cell-count", runId, block],
    queryFn: async ({ signal }) => Number((await views.listCells({ runId, block, pageSize: 1 }, { signal })).matches),
    enabled: outermost === undefined,
  });
  return { index: data ?? undefined, total: outermost ?? inner.data ?? 0 };
}
