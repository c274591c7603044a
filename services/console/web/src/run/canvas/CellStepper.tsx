import { UnstyledButton } from "@mantine/core";
import { IconChevronLeft, IconChevronRight } from "@tabler/icons-react";
import { clipped, formatCount, shown } from "../../common/text";
import type { CellLevel, ChosenCell } from "../model/inner";
import { nodeName } from "../model/paths";
import classes from "./canvas.module.css";
import { useCellIndex, useOpenCell } from "./useOpenCell";

/** Which cell's sub-workflow is open, of each foreach that it is in, and the ways to the cells before and after. */
export function CellStepper({ cell: { levels } }: { cell: ChosenCell }) {
  return levels.map((level) => <Stepper key={level.block} level={level} alone={levels.length === 1} />);
}

function Stepper({ level, alone }: { level: CellLevel; alone: boolean }) {
  const open = useOpenCell();
  const { index, total } = useCellIndex(level);
  const { block, key, scope, nodes } = level;
  const of = alone ? "" : ` of ${nodeName(block)}`;
  const step = (by: number, label: string) => {
    const to = (index ?? 0) + by;
    const Icon = by < 0 ? IconChevronLeft : IconChevronRight;
    return (
      <UnstyledButton
        className={classes.stepCell}
        aria-label={`${label}${of}`}
        disabled={index === undefined || to < 0 || to >= total}
        onClick={(event) => {
          event.stopPropagation();
          open({ block, nodes, index: to });
        }}
      >
        <Icon size={13} aria-hidden="true" />
      </UnstyledButton>
    );
  };
  return (
    <span className={classes.chosen}>
      {step(-1, "The cell before")}
      <span className={classes.detail} title={shown(scope)}>
        {shown(clipped(key, alone ? 30 : 12))}
        {index !== undefined && ` · ${formatCount(index + 1)} of ${formatCount(total)}`}
      </span>
      {step(1, "The next cell")}
    </span>
  );
}
