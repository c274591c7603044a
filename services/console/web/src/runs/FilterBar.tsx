import { Button, TextInput } from "@mantine/core";
import { IconSearch, IconX } from "@tabler/icons-react";
import { lazy, useEffect, useRef, useState } from "react";
import { useShortcut } from "../app/keys/shortcuts";
import chip from "../common/Chip.module.css";
import { Hint } from "../common/Hint";
import { OnDemand } from "../common/OnDemand";
import { StatusMark } from "../common/StatusMark";
import { RUN_STATUSES } from "../common/status";
import { ToggleChips } from "../common/ToggleChips";
import { formatCount, shown } from "../common/text";
import { useZone } from "../common/zone";
import type { Status } from "../gen/kaonapi/run/v1/run_pb";
import type { StatusCount } from "../gen/kaonapi/view/v1/runs_pb";
import { AddFilterButton } from "./AddFilterButton";
import { ColumnButton } from "./ColumnButton";
import classes from "./FilterBar.module.css";
import { chipsOf, isFiltered } from "./filter";
import type { RunsSearch } from "./search";

interface Props {
  search: RunsSearch;
  totals: readonly StatusCount[] | undefined;
  onSearch: (next: RunsSearch, replace?: boolean) => void;
}

// What opens is loaded when it is first wanted.
const AddFilter = lazy(() => import("./AddFilter").then(({ AddFilter }) => ({ default: AddFilter })));
const ColumnMenu = lazy(() => import("./ColumnMenu").then(({ ColumnMenu }) => ({ default: ColumnMenu })));

/** What is filtered, and how to change that. */
export function FilterBar({ search, totals, onSearch }: Props) {
  const zone = useZone();
  return (
    <div className={classes.bar} role="search">
      <TextFilter text={search.text} onText={(text) => onSearch({ ...search, text }, true)} />
      <StatusFilter search={search} totals={totals} onSearch={onSearch} />
      {chipsOf(search, zone).map(({ key, field, value, without }) => (
        <span key={key} className={`${chip.chip} ${classes.set}`}>
          <span className={chip.faint}>{field}</span>
          <span className={chip.text}>{shown(value)}</span>
          <button type="button" aria-label={`Remove the filter ${field} ${value}`} onClick={() => onSearch(without)}>
            <IconX size={12} stroke={2} />
          </button>
        </span>
      ))}
      <OnDemand button={AddFilterButton}>
        <AddFilter search={search} onSearch={onSearch} />
      </OnDemand>
      {isFiltered(search) && (
        <Button size="compact-xs" variant="subtle" color="gray" onClick={() => onSearch({ order: search.order })}>
          Clear
        </Button>
      )}
      <span className={classes.grow} />
      <Hint label="Columns">
        <OnDemand button={ColumnButton}>
          <ColumnMenu />
        </OnDemand>
      </Hint>
    </div>
  );
}

/** A text that is typed waits a moment before it counts. */
function TextFilter({ text, onText }: { text: string | undefined; onText: (text: string | undefined) => void }) {
  const [typed, setTyped] = useState(text ?? "");
  const [known, setKnown] = useState(text);
  const field = useRef<HTMLInputElement>(null);
  if (known !== text) {
    setKnown(text);
    setTyped(text ?? "");
  }
  const newest = useRef(onText);
  newest.current = onText;
  useEffect(() => {
    if (typed.trim() === (text ?? "")) return;
    const timer = setTimeout(() => newest.current(typed.trim() || undefined), 250);
    return () => clearTimeout(timer);
  }, [typed, text]);
  useShortcut("/", "Find runs by text", () => field.current?.focus());
  return (
    <TextInput
      ref={field}
      className={classes.text}
      aria-label="Find runs by text"
      placeholder="Id, workflow, label, parameter"
      leftSection={<IconSearch size={14} stroke={1.75} />}
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
      onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
    />
  );
}

function StatusFilter({ search, totals, onSearch }: Props) {
  const counts = new Map<Status, bigint>(totals?.map(({ status, count }) => [status, count]));
  // A status that has no run and is not asked for would only take space.
  const offered = RUN_STATUSES.filter(({ status, name }) => counts.get(status) || search.status?.includes(name));
  const looks = new Map(offered.map((status) => [status.name, status]));
  return (
    <ToggleChips
      label="Status"
      names={[...looks.keys()]}
      chosen={search.status ?? []}
      onChange={(status) => onSearch({ ...search, status: status.length > 0 ? status : undefined })}
      content={(name) => {
        const { status, label } = looks.get(name)!;
        return (
          <>
            <StatusMark status={status} size={12} labelled={false} />
            {label}
            <span className={chip.faint}>{formatCount(counts.get(status) ?? 0n)}</span>
          </>
        );
      }}
    />
  );
}
