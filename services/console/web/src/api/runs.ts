import { type Client, createClient } from "@connectrpc/connect";
import { RunService } from "../gen/kaonapi/run/v1/run_service_pb";
import { transport } from "./line";

/** Commands to runs. Alone in its file: what only looks does not load it. */
export const runs: Client<typeof RunService> = createClient(RunService, transport);
