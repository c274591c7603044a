import { type Client, createClient } from "@connectrpc/connect";
import { transport } from "../api/line";
import { RunnerService } from "../gen/kaonapi/runner/v1/runner_pb";

export { views } from "../api/views";

export const runners: Client<typeof RunnerService> = createClient(RunnerService, transport);
