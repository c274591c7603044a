import { create } from "@bufbuild/protobuf";
import { infiniteQueryOptions, queryOptions, useQueryClient } from "@tanstack/react-query";
import { datasets } from "../api/datasets";
import { useFollow } from "../api/live/live";
import type { Dataset } from "../gen/kaonapi/dataset/v1/dataset_pb";
import { RunsTopicSchema } from "../gen/kaonapi/view/v1/watch_pb";

const PAGE = 100;
/** The shortest time between two looks while runs change. */
const PACE_MS = 2_000;
/** Everything that is asked of datasets. */
const KEY = "datasets";

export const datasetsQuery = queryOptions({
  queryKey: [KEY, "all"],
  queryFn: async ({ signal }) => {
    const found: Dataset[] = [];
    let pageToken = "";
    do {
      const page = await datasets.listDatasets({ pageToken }, { signal });
      found.push(...page.datasets);
      pageToken = page.nextPageToken;
    } while (pageToken);
    return found;
  },
});

export function datasetQuery(name: string) {
  return queryOptions({
    queryKey: [KEY, "one", name],
    queryFn: async ({ signal }) => (await datasets.getDataset({ name }, { signal })).dataset,
  });
}

/** The updates of a dataset, the newest first; of one partition where one is named. */
export function updatesQuery(name: string, partition: string | undefined) {
  return infiniteQueryOptions({
    queryKey: [KEY, "updates", name, partition],
    queryFn: ({ pageParam, signal }) =>
      datasets.listDatasetUpdates({ name, partition, pageSize: PAGE, pageToken: pageParam }, { signal }),
    initialPageParam: "",
    getNextPageParam: ({ nextPageToken }) => nextPageToken || undefined,
  });
}

/** Returns a function that has everything asked again. */
export function useRefresh(): () => void {
  const client = useQueryClient();
  return () => void client.invalidateQueries({ queryKey: [KEY] });
}

/** Asks again when a run has changed: steps update datasets by their success, and updates start runs. */
export function useFresh(): void {
  const refresh = useRefresh();
  const topic = create(RunsTopicSchema, { pageSize: 1 });
  useFollow("datasets", { case: "runs", value: topic }, ({ snapshot }) => snapshot || refresh(), PACE_MS);
}
