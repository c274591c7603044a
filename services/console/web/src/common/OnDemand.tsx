import { type ComponentProps, type ReactNode, Suspense, useState } from "react";

interface Props {
  /** The button that asks for it, until it is there. */
  button: (props: ComponentProps<"button">) => ReactNode;
  /** What opens: it brings its own button, and is open when it comes. */
  children: ReactNode;
}

/** A menu that is loaded when it is first wanted. */
export function OnDemand({ button, children }: Props) {
  const [wanted, setWanted] = useState(false);
  const asks = button({ "aria-haspopup": "menu", "aria-expanded": false, onClick: () => setWanted(true) });
  return wanted ? <Suspense fallback={asks}>{children}</Suspense> : asks;
}
