import { type ComponentProps, type ReactNode, type RefObject, Suspense, useEffect, useRef, useState } from "react";

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

interface Opened {
  readonly opened: boolean;
  readonly change: (opened: boolean) => void;
  /** Of the button that what opens has brought along. */
  readonly button: RefObject<HTMLButtonElement | null>;
}

/** Opens what has come on demand. Its button takes the place of the one that was pressed, with the focus, which returns there. */
export function useOpensOnDemand(): Opened {
  const [opened, change] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    button.current?.focus();
    change(true);
  }, []);
  return { opened, change, button };
}
