import type { ReactNode } from "react";
import classes from "./Chip.module.css";
import { shown } from "./text";

interface Props {
  /** What the chips choose between, for those who cannot see them. */
  label: string;
  names: readonly string[];
  chosen: readonly string[];
  onChange: (chosen: string[]) => void;
  /** What stands in a chip; its name, unless this says otherwise. */
  content?: (name: string) => ReactNode;
}

/** Filters of which any number is on. */
export function ToggleChips({ label, names, chosen, onChange, content }: Props) {
  const toggle = (name: string): void =>
    onChange(chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name]);
  return (
    <fieldset className={classes.chips} aria-label={label}>
      {names.map((name) => (
        <button
          key={name}
          type="button"
          className={classes.chip}
          aria-pressed={chosen.includes(name)}
          onClick={() => toggle(name)}
        >
          {content ? content(name) : <span className={classes.text}>{shown(name)}</span>}
        </button>
      ))}
    </fieldset>
  );
}
