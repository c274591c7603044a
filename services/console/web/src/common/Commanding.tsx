import { cloneElement, type MouseEvent, type ReactElement } from "react";
import { type Command, refusalOf } from "../api/refusals";
import { useSession } from "../api/session";
import { Hint } from "./Hint";

interface Control {
  "data-disabled"?: boolean;
  "aria-disabled"?: boolean;
  "aria-description"?: string;
  type?: "button";
  onClick?: (event: MouseEvent) => void;
}

interface Props {
  /** What the control sends, or begins to ask for. */
  command: Command;
  /** A button. */
  children: ReactElement<Control>;
  /** Why it is not for whoever is signed in, beside their role; empty or left out: nothing is against it. */
  why?: string;
  /** Whether the control stands at the lower end of the page. */
  above?: boolean;
}

/**
 * Offers a command to whoever may give it. To others the control says why not: it takes the focus, so that everybody gets to
 * know. What only shows offers nothing.
 */
export function Commanding({ command, children, why: other = "", above }: Props) {
  const session = useSession();
  const why = refusalOf(session, command) || other;
  if (why === "") return children;
  if (session.readOnly) return null;
  const dead = cloneElement(children, {
    "data-disabled": true,
    "aria-disabled": true,
    "aria-description": why,
    type: "button",
    onClick: (event) => event.preventDefault(),
  });
  return (
    <Hint label={why} above={above}>
      {dead}
    </Hint>
  );
}
