import { ActionIcon } from "@mantine/core";
import { IconColumns3 } from "@tabler/icons-react";
import type { ComponentProps } from "react";
import classes from "./FilterBar.module.css";

/** Asks for the columns of the table. */
export function ColumnButton({ color: _, ...others }: ComponentProps<"button">) {
  return (
    <ActionIcon {...others} aria-label="Columns" className={classes.columns}>
      <IconColumns3 size={15} stroke={1.75} />
    </ActionIcon>
  );
}
