import { ActionIcon, Button, Menu, Popover, Select, TextInput, Tooltip } from "@mantine/core";
import { IconColumns3, IconFilterPlus, IconSearch, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { useShortcut } from "../app/keys/shortcuts";
import type { Status } from "../gen/kaonapi/run/v1/run_pb";
import type { StatusCount } from "../gen/kaonapi/view/v1/runs_pb";
import { StatusMark } from "../shared/StatusMark";
import { RUN_STATUSES } from "../shared/status";
import { formatCount, shown } from "../shared/text";
import { useZone } from "../shared/zone";
import { COLUMNS, toggleColumn, useColumns } from "./columns";
import classes from "./FilterBar.module.css";
import { chipsOf, isFiltered, toggleStatus } from "./filter";
import { workflowsQuery } from "./queries";
import type { RunsSearch } from "./search";

interface Props {
  search: RunsSearch;
  totals: readonly StatusCount[] | undefined;
  onSearch: (next: RunsSearch, replace?: boolean) => void;
}

/** What is filtered, and how to change that. */
export function FilterBar({ search, totals, onSearch }: Props) {
  const zone = useZone();
  return (
    <div className={classes.bar} role="search">
      <TextFilter text={search.text} onText={(text) => onSearch({ ...search, text }, true)} />
      <StatusFilter search={search} totals={totals} onSearch={onSearch} />
      {chipsOf(search, zone).map(({ key, field, value, without }) => (
        <span key={key} className={classes.chip}>
          <span className={classes.field}>{field}</span>
          {shown(value)}
          <button type="button" aria-label={`Remove the filter ${field} ${value}`} onClick={() => onSearch(without)}>
            <IconX size={12} stroke={2} />
          </button>
        </span>
      ))}
      <AddFilter search={search} onSearch={onSearch} />
      {isFiltered(search) && (
        <Button size="compact-xs" variant="subtle" color="gray" onClick={() => onSearch({ order: search.order })}>
          Clear
        </Button>
      )}
      <span className={classes.grow} />
      <ColumnChoice />
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
  return (
    <fieldset className={classes.statuses}>
      <legend className={classes.hidden}>Status</legend>
      {offered.map(({ status, name, label }) => (
        <button
          key={name}
          type="button"
          className={classes.status}
          aria-pressed={search.status?.includes(name) ?? false}
          onClick={() => onSearch(toggleStatus(search, status))}
        >
          <StatusMark status={status} size={12} labelled={false} />
          {label}
          <span className={classes.count}>{formatCount(counts.get(status) ?? 0n)}</span>
        </button>
      ))}
    </fieldset>
  );
}

const FIELDS = ["workflow", "label", "submitter", "origin", "late"] as const;
type Field = (typeof FIELDS)[number];
const FIELD_NAMES: Readonly<Record<Field, string>> = {
  workflow: "Workflow",
  label: "Label",
  submitter: "Submitter",
  origin: "Origin",
  late: "Late runs",
};
const PLACEHOLDERS: Readonly<Record<Field, string>> = {
  workflow: "",
  label: "name=value, or name",
  submitter: "Name of a principal",
  origin: "manual, schedule:, backfill:",
  late: "",
};

function AddFilter({ search, onSearch }: Pick<Props, "search" | "onSearch">) {
  const [field, setField] = useState<Field>();
  const [opened, setOpened] = useState(false);
  const set = (name: Field, value: string) => {
    setOpened(false);
    setField(undefined);
    if (name === "label") onSearch({ ...search, label: [...new Set([...(search.label ?? []), value])] });
    else onSearch({ ...search, [name]: value });
  };
  const begin = (name: Field) => (name === "late" ? set("late", "yes") : setField(name));
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
        <button type="button" className={classes.add} onClick={() => setOpened(!opened)}>
          <IconFilterPlus size={14} stroke={1.75} aria-hidden="true" />
          Filter
        </button>
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

function FilterValue({ field, onValue }: { field: Field; onValue: (value: string) => void }) {
  const { data } = useQuery({ ...workflowsQuery, enabled: field === "workflow" });
  const [value, setValue] = useState("");
  const input = useRef<HTMLInputElement>(null);
  // The list of fields, which had the focus, is gone.
  useEffect(() => input.current?.focus(), []);
  if (field === "workflow") {
    return (
      <Select
        ref={input}
        label="Workflow"
        placeholder="Choose one"
        searchable
        data={data?.map(({ name }) => name) ?? []}
        onChange={(name) => name && onValue(name)}
        comboboxProps={{ withinPortal: false }}
        nothingFoundMessage="No workflow has this name"
      />
    );
  }
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (value.trim()) onValue(value.trim());
  };
  return (
    <form onSubmit={send} className={classes.value}>
      <TextInput
        ref={input}
        label={FIELD_NAMES[field]}
        placeholder={PLACEHOLDERS[field]}
        value={value}
        onChange={(event) => setValue(event.currentTarget.value)}
      />
      <Button type="submit" disabled={value.trim() === ""}>
        Add
      </Button>
    </form>
  );
}

function ColumnChoice() {
  const columns = useColumns();
  const shownIds = new Set(columns.map(({ id }) => id));
  return (
    <Menu closeOnItemClick={false} position="bottom-end">
      <Menu.Target>
        <Tooltip label="Columns">
          <ActionIcon aria-label="Columns" className={classes.columns}>
            <IconColumns3 size={15} stroke={1.75} />
          </ActionIcon>
        </Tooltip>
      </Menu.Target>
      <Menu.Dropdown>
        {COLUMNS.map(({ id, title }) => (
          <Menu.CheckboxItem key={id} checked={shownIds.has(id)} onChange={() => toggleColumn(id)}>
            {title}
          </Menu.CheckboxItem>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
