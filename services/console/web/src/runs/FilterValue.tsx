import { Button, Select, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import classes from "./FilterBar.module.css";
import { FIELD_NAMES, type Field, PLACEHOLDERS } from "./fields";
import { workflowsQuery } from "./queries";
import { isParam } from "./search";

/** Asks for the value of a new filter. */
export function FilterValue({ field, onValue }: { field: Field; onValue: (value: string) => void }) {
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
  const complete = field === "param" ? isParam(value) : value.trim() !== "";
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (complete) onValue(value.trim());
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
      <Button type="submit" disabled={!complete}>
        Add
      </Button>
    </form>
  );
}
