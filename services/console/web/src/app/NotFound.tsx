import { Link } from "@tanstack/react-router";
import { EmptyState } from "../common/states";

/** There is no page at this address. */
export function NotFound() {
  return (
    <EmptyState title="No page has this address">
      <Link to="/">Go to the overview</Link>
    </EmptyState>
  );
}
