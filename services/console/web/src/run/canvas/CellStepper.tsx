import { UnstyledButton } from "@mantine/core";
import { IconChevronLeft, IconChevronRight } from "@tabler/icons-react";
import { clipped, formatCount, shown } from "../../common/text";
import type { ChosenCell } from "../model/inner";
import classes from "./canvas.module.css";
import { useCellIndex, useOpenCell } from "./useOpenCell";

/** Which cell's sub-workflow is open, and the ways to the cells before and after it. */
export function CellStepper({ cell }: { cell: ChosenCell }) {
  const open = useOpenCell();
  const { index, total } = useCellIndex(cell);
  const step = (by: number, label: string) => {
    const to = (index ?? 0) + by;
    const Icon = by < 0 ? IconChevronLeft : IconChevronRight;
    return (
      <UnstyledButton
        className={classes.stepCell}
        aria-label={label}
        disabled={index === undefined || to < 0 || to >= total}
        onClick={(event) => {
          event.stopPropagation();
          open({ block: cell.block, node: cell.node, index: to });
        }}
      >
        <Icon size={13} aria-hidden="true" />
      </UnstyledButton>
    );
  };
  return (
    <span className={classes.chosen}>
      {step(-1, "The cell before")}
      <span className={classes.detail} title={shown(cell.scope)}>
        {shown(clipped(cell.key, 30))}
        {index !== undefined && ` · ${formatCount(index + 1)} of ${formatCount(total)}`}
      </span>
      {step(1, "The next cell")}
    </span>
  );
}
