import { RunsPage } from "../runs/RunsPage";

/** Shows what needs somebody. */
export function OverviewPage() {
  return <RunsPage />;
}
