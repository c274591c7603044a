import { Select } from "@mantine/core";
import { Panel } from "@xyflow/react";
import { memo, useMemo, useRef } from "react";
import { useShortcut } from "../../app/keys/shortcuts";
import { formatCount } from "../../common/text";
import type { WorkflowDefinition } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { blockNames } from "../model/graph";
import classes from "./canvas.module.css";

/** Fewer are found with the eyes. */
const FEW = 40;
const LISTED = 20;

interface Props {
  definition: WorkflowDefinition;
  find: (name: string) => void;
}

/** Finds a block of a large definition by its name, also one that is not drawn. */
export const FindBlock = memo(function FindBlock({ definition, find }: Props) {
  const names = useMemo(() => blockNames(definition), [definition]);
  const field = useRef<HTMLInputElement>(null);
  useShortcut("/", "Find a block", () => field.current?.focus());
  if (names.length < FEW) return null;
  return (
    <Panel position="top-left" className={classes.find}>
      <Select
        ref={field}
        aria-label="Find a block"
        placeholder={`Find one of ${formatCount(names.length)} blocks`}
        data={names}
        limit={LISTED}
        searchable
        value={null}
        onChange={(name) => name !== null && find(name)}
        nothingFoundMessage="No block is called so"
        selectFirstOptionOnChange
        onKeyDown={(event) => event.stopPropagation()}
      />
    </Panel>
  );
});
