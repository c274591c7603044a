import { type Client, createClient } from "@connectrpc/connect";
import { RunService } from "../gen/kaonapi/run/v1/run_service_pb";
import { WorkflowService } from "../gen/kaonapi/workflow/v1/workflow_service_pb";
import { transport } from "./line";

export { transport } from "./line";
export { views } from "./views";

export const runs: Client<typeof RunService> = createClient(RunService, transport);
export const workflows: Client<typeof WorkflowService> = createClient(WorkflowService, transport);
