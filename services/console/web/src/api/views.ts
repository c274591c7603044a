import { type Client, createClient } from "@connectrpc/connect";
import { ViewService } from "../gen/kaonapi/view/v1/view_service_pb";
import { transport } from "./line";

/** Everything that looks. */
export const views: Client<typeof ViewService> = createClient(ViewService, transport);
