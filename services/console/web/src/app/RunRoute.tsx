import { RunPage } from "../run/RunPage";
import { runRoute } from "./router";

/** Gives the run page the run that the address names. Another run is another page: nothing of the last one stays. */
export function RunRoute() {
  const { runId } = runRoute.useParams();
  return <RunPage key={runId} runId={runId} />;
}
