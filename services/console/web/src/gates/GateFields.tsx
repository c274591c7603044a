import { useState } from "react";
import type { Parameter } from "../gen/kaonapi/workflow/v1/definition_pb";
import { type Draft, encodeDraft } from "../launch/form";
import { ParameterField } from "../launch/ParameterField";

/** What is typed into the fields of a gate: what to send, and whether all of it can be sent. */
export function useGateFields(fields: readonly Parameter[]) {
  const [draft, setDraft] = useState<Draft>({});
  const { params, problems } = encodeDraft(fields, draft);
  const change = (name: string, value: string | undefined) =>
    setDraft((old) => {
      const { [name]: _, ...others } = old;
      return value === undefined ? others : { ...others, [name]: value };
    });
  return { draft, values: params, problems, complete: Object.keys(problems).length === 0, change };
}

interface Props {
  fields: readonly Parameter[];
  form: Pick<ReturnType<typeof useGateFields>, "draft" | "problems" | "change">;
}

/** The fields of a gate, each with the control of its type. */
export function GateFields({ fields, form }: Props) {
  return fields.map((field) => (
    <ParameterField
      key={field.name}
      parameter={field}
      value={form.draft[field.name]}
      // What is missing is no mistake before somebody typed it.
      problem={form.draft[field.name] === undefined ? undefined : form.problems[field.name]}
      recent={[]}
      onChange={(value) => form.change(field.name, value)}
    />
  ));
}

/** Returns the payload of a signal as JSON: an object of its fields. */
export function payloadOf(values: Readonly<Record<string, string>>): string {
  return `{${Object.entries(values)
    .map(([name, json]) => `${JSON.stringify(name)}:${json}`)
    .join(",")}}`;
}
