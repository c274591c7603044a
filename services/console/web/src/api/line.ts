import type { Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { noteGood, noteLost, noteSignedOut } from "./connection";
import { faultOf } from "./fault";

/** Tells the connection's state from what becomes of each call. */
const watchful: Interceptor = (next) => async (request) => {
  try {
    const answer = await next(request);
    noteGood("call");
    return answer;
  } catch (error) {
    if (!request.signal.aborted) note(error);
    throw error;
  }
};

function note(error: unknown): void {
  const fault = faultOf(error);
  if (fault.kind === "signed-out") noteSignedOut();
  else if (fault.kind === "away") noteLost("call", fault.title);
  else noteGood("call");
}

/** Connect's protocol in binary, to the server that the page came from. */
export const transport = createConnectTransport({
  baseUrl: "/api",
  useBinaryFormat: true,
  interceptors: [watchful],
});
