import type { ReactNode } from "react";
import classes from "./Hint.module.css";

/** Says beside a button what it does: by style alone, where a page is to come with few bytes. The button has its own name. */
export function Hint({ label, children }: { label: string; children: ReactNode }) {
  return (
    <span className={classes.hint} data-hint={label}>
      {children}
    </span>
  );
}
