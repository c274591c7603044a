import { labelsOf } from "./chord";
import classes from "./Keys.module.css";

const APPLE = /Mac|iPhone|iPad/.test(navigator.platform);

/** Shows a shortcut as keys. */
export function Keys({ keys }: { keys: string }) {
  return (
    <span className={classes.keys}>
      {labelsOf(keys, APPLE).map((label, index) =>
        label === "then" ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a shortcut never move
          <span key={index} className={classes.then}>
            then
          </span>
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a shortcut never move
          <kbd key={index} className={classes.key}>
            {label}
          </kbd>
        ),
      )}
    </span>
  );
}
