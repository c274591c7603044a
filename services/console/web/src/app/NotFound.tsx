import { IconSearchOff } from "@tabler/icons-react";
import { LinkButton } from "../common/LinkButton";
import { EmptyState } from "../common/states";

/** There is no page at this address. */
export function NotFound() {
  return (
    <EmptyState title="No page has this address" icon={<IconSearchOff size={22} stroke={1.5} />}>
      <LinkButton to="/" variant="default">
        Go to the overview
      </LinkButton>
    </EmptyState>
  );
}
