import { IconFilterPlus } from "@tabler/icons-react";
import type { ComponentProps } from "react";
import chip from "../common/Chip.module.css";
import classes from "./FilterBar.module.css";

/** Asks for one more filter. */
export function AddFilterButton(others: ComponentProps<"button">) {
  return (
    <button {...others} type="button" className={`${chip.chip} ${classes.add}`}>
      <IconFilterPlus size={14} stroke={1.75} aria-hidden="true" />
      Filter
    </button>
  );
}
