import { Link, type LinkProps } from "@tanstack/react-router";
import type { ReactNode } from "react";
import classes from "./Page.module.css";

interface Props {
  title: ReactNode;
  /** Beside the title: a count, a status. */
  aside?: ReactNode;
  /** At the end of the line: buttons. */
  actions?: ReactNode;
  children: ReactNode;
}

/** A page: a line with its title that stays in sight, and what is below. */
export function Page({ title, aside, actions, children }: Props) {
  return (
    <div className={classes.page}>
      <header className={classes.head}>
        <h1>{title}</h1>
        {aside && <div className={classes.aside}>{aside}</div>}
        {actions && <div className={classes.actions}>{actions}</div>}
      </header>
      <div className={classes.body}>{children}</div>
    </div>
  );
}

/** The title of a page below another one, with the way up. */
export function Below({ to, above, children }: { to: LinkProps["to"]; above: string; children: ReactNode }) {
  return (
    <>
      <Link to={to} className={classes.up}>
        {above}
      </Link>
      <span className={classes.slash}>/</span>
      {children}
    </>
  );
}
