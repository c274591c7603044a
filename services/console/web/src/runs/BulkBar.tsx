import { Button } from "@mantine/core";
import { useRef } from "react";
import { useShortcut } from "../app/keys/shortcuts";
import { Commanding } from "../common/Commanding";
import { counted, formatCount } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import classes from "./BulkBar.module.css";
import { ACTIONS, type Action, planOf } from "./bulk";
import { useBulkBusy } from "./bulkStore";
import { ask } from "./bulkWork";

interface Props {
  chosen: readonly Run[];
  /** How many more the filters select; undefined when that is not known. */
  more: number | undefined;
  /** Chooses those, too; undefined while it does. */
  onMore: (() => void) | undefined;
  onClear: () => void;
}

/** What can be done with the chosen runs. */
export function BulkBar({ chosen, more, onMore, onClear }: Props) {
  const bar = useRef<HTMLDivElement>(null);
  useShortcut("a", "To the actions on the chosen runs", () => bar.current?.querySelector("button")?.focus());
  const busy = useBulkBusy();
  return (
    <div ref={bar} className={classes.bar} role="toolbar" aria-label="Chosen runs">
      <span className={classes.count}>{counted(chosen.length, "run")} chosen</span>
      {more !== undefined && more > 0 && (
        <Button variant="subtle" loading={onMore === undefined} onClick={onMore}>
          Choose {formatCount(more)} more
        </Button>
      )}
      {(Object.keys(ACTIONS) as Action[]).map((each) => (
        <Commanding key={each} command={ACTIONS[each].command} why={busy} above>
          <Button
            variant="default"
            disabled={planOf(each, chosen).apply.length === 0}
            onClick={() => ask(each, chosen)}
          >
            {ACTIONS[each].label}
          </Button>
        </Commanding>
      ))}
      <Button variant="subtle" color="gray" onClick={onClear}>
        Clear
      </Button>
    </div>
  );
}
