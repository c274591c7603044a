import { type Client, createClient } from "@connectrpc/connect";
import { transport } from "../api/line";
import { LogService } from "../gen/kaonapi/log/v1/log_pb";
import { RunnerService } from "../gen/kaonapi/runner/v1/runner_pb";

export { views } from "../api/views";

export const runners: Client<typeof RunnerService> = createClient(RunnerService, transport);
export const logs: Client<typeof LogService> = createClient(LogService, transport);
