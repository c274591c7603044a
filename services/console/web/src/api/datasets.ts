import { type Client, createClient } from "@connectrpc/connect";
import { DatasetService } from "../gen/kaonapi/dataset/v1/dataset_pb";
import { transport } from "./line";

/** Datasets by name, and their updates. */
export const datasets: Client<typeof DatasetService> = createClient(DatasetService, transport);
