import { Button } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import { Commanding } from "../common/Commanding";
import { counted } from "../common/text";
import type { Run } from "../gen/kaonapi/run/v1/run_pb";
import classes from "./BulkBar.module.css";
import { ACTIONS, type Action, planOf } from "./bulk";

const BulkDialog = lazy(() => import("./BulkDialog").then(({ BulkDialog }) => ({ default: BulkDialog })));

interface Props {
  chosen: readonly Run[];
  onClear: () => void;
}

/** What can be done with the chosen runs. */
export function BulkBar({ chosen, onClear }: Props) {
  const [action, setAction] = useState<Action>();
  if (chosen.length === 0 && !action) return null;
  return (
    <>
      <div className={classes.bar} role="toolbar" aria-label="Chosen runs">
        <span className={classes.count}>{counted(chosen.length, "run")} chosen</span>
        {(Object.keys(ACTIONS) as Action[]).map((each) => (
          <Commanding key={each} command={ACTIONS[each].command} above>
            <Button
              variant="default"
              disabled={planOf(each, chosen).apply.length === 0}
              onClick={() => setAction(each)}
            >
              {ACTIONS[each].label}
            </Button>
          </Commanding>
        ))}
        <Button variant="subtle" color="gray" onClick={onClear}>
          Clear
        </Button>
      </div>
      <Suspense>
        {action && <BulkDialog action={action} chosen={chosen} onClose={() => setAction(undefined)} />}
      </Suspense>
    </>
  );
}
