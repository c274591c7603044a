import { VisuallyHidden } from "@mantine/core";
import { IconSelector } from "@tabler/icons-react";
import type { ComponentProps } from "react";
import type { Session } from "../api/session";
import { shown } from "../common/text";
import classes from "./Account.module.css";

type Props = { session: Session } & ComponentProps<"button">;

/** Who is signed in. */
export function AccountButton({ session, ...others }: Props) {
  return (
    <button {...others} type="button" className={classes.button}>
      <VisuallyHidden>Account and settings of </VisuallyHidden>
      <span className={classes.avatar} aria-hidden="true">
        {[...session.name][0]?.toUpperCase() ?? "?"}
      </span>
      <span className={classes.names}>
        <span className={classes.name}>{shown(session.name)}</span>
        <span className={classes.tenant}>{shown(session.tenant)}</span>
      </span>
      <IconSelector className={classes.selector} size={14} stroke={1.75} aria-hidden="true" />
    </button>
  );
}
