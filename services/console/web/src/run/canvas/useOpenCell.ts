import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { views } from "../clients";
import { useRunPage } from "../context";
import { type ChosenCell, chosenCell, openedName } from "../model/inner";

/** A sub-workflow of a cell, by the cell's index. */
interface Place {
  readonly block: string;
  readonly node: string;
  readonly index: number;
}

/** Returns a function that opens the sub-workflow of a cell in the drawing, in place of that of another cell. */
export function useOpenCell(): (place: Place) => void {
  const { runId, search, go } = useRunPage();
  const client = useQueryClient();
  return useCallback(
    ({ block, node, index }: Place) => {
      const found = client.fetchQuery({
        queryKey: ["cell-at", runId, block, node, index],
        queryFn: () => views.listCells({ runId, block, node, indexes: [BigInt(index)] }),
      });
      void found.then(({ cells }) => {
        const path = cells[0]?.nodePath;
        const cell = path ? chosenCell(path) : undefined;
        if (!cell) return;
        const others = search.opened.filter((each) => openedName(each) !== cell.name);
        go({ opened: [...others, cell.path] }, { replace: true });
      });
    },
    [client, runId, search.opened, go],
  );
}

/** Cells that are looked through for the index of one. */
const LOOKED = 1_000;

/** The index of a cell among all of them; undefined until it is known, and where too many have keys that hold its own. */
export function useCellIndex({ block, key, scope }: ChosenCell): { index: number | undefined; total: number } {
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
  return { index: data ?? undefined, total: view.blocks.find(({ path }) => path === block)?.total ?? 0 };
}
