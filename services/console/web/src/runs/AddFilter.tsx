import { Popover } from "@mantine/core";
import { useState } from "react";
import { useOpensOnDemand } from "../common/OnDemand";
import { AddFilterButton } from "./AddFilterButton";
import classes from "./FilterBar.module.css";
import { FilterValue } from "./FilterValue";
import { FIELD_NAMES, FIELDS, type Field } from "./fields";
import type { RunsSearch } from "./search";

interface Props {
  search: RunsSearch;
  onSearch: (next: RunsSearch) => void;
}

/** Chooses a field, then its value. It opens when it comes: somebody has asked for it. */
export function AddFilter({ search, onSearch }: Props) {
  const [field, setField] = useState<Field>();
  const { opened, change: setOpened, button } = useOpensOnDemand();
  const set = (name: Field, value: string) => {
    setOpened(false);
    setField(undefined);
    if (name === "label" || name === "param")
      onSearch({ ...search, [name]: [...new Set([...(search[name] ?? []), value])] });
    else onSearch({ ...search, [name]: value });
  };
  const begin = (name: Field) => (name === "late" || name === "quarantined" ? set(name, "yes") : setField(name));
  return (
    <Popover
      opened={opened}
      onChange={(open) => {
        setOpened(open);
        if (!open) setField(undefined);
      }}
      position="bottom-start"
      shadow="md"
      trapFocus
      returnFocus
    >
      <Popover.Target>
        <AddFilterButton ref={button} onClick={() => setOpened(!opened)} />
      </Popover.Target>
      <Popover.Dropdown p={field ? "sm" : 4}>
        {field ? (
          <FilterValue key={field} field={field} onValue={(value) => set(field, value)} />
        ) : (
          <div className={classes.fields}>
            {FIELDS.map((name) => (
              <button key={name} type="button" onClick={() => begin(name)}>
                {FIELD_NAMES[name]}
              </button>
            ))}
          </div>
        )}
      </Popover.Dropdown>
    </Popover>
  );
}
