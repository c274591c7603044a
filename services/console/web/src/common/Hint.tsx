import type { ReactNode } from "react";
import classes from "./Hint.module.css";

/** Says beside a button what it does: by style alone, where a page is to come with few bytes. The button has its own name. */
export function Hint({ label, above, children }: { label: string; above?: boolean; children: ReactNode }) {
  return (
    <span className={classes.hint} data-hint={label} data-above={above}>
      {children}
    </span>
  );
}
