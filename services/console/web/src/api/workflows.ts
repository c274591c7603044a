import { type Client, createClient } from "@connectrpc/connect";
import { WorkflowService } from "../gen/kaonapi/workflow/v1/workflow_service_pb";
import { transport } from "./line";

/** Workflows and their definitions. Alone in its file, as `runs` is. */
export const workflows: Client<typeof WorkflowService> = createClient(WorkflowService, transport);
