import { MultiSelect, Select, Switch, TagsInput, Textarea, TextInput } from "@mantine/core";
import { useEffect } from "react";
import { shown } from "../common/text";
import type { Parameter } from "../gen/kaonapi/workflow/v1/definition_pb";
import { controlOf, fieldText, isRequired, localTime, NULL, recentValues, textsOf, typeName, zonedTime } from "./form";
import classes from "./ParameterField.module.css";

interface Props {
  parameter: Parameter;
  /** What is typed; undefined means the default. */
  value: string | undefined;
  problem?: string;
  recent: readonly { readonly paramsJson: Readonly<Record<string, string>> }[];
  onChange: (value: string | undefined) => void;
}

/** One parameter of a workflow: its control, what it takes, and what runs gave it lately. */
export function ParameterField({ parameter, value, problem, recent, onChange }: Props) {
  const { name, description, constraintCel, defaultJson } = parameter;
  const json = defaultJson ?? (parameter.optional && parameter.computed === undefined ? "null" : undefined);
  const fallback = json === undefined ? undefined : fieldText(parameter, json);
  const standing = value ?? fallback ?? "";
  const id = `parameter-${name}`;
  const hints = `${id}-hints`;
  const changed = value !== undefined && value !== fallback;
  // Mantine keeps to what it has written itself below a control: what stands in `hints` is named here.
  useEffect(() => {
    const control = document.getElementById(id);
    const named = control?.getAttribute("aria-describedby")?.split(" ") ?? [];
    if (!named.includes(hints)) control?.setAttribute("aria-describedby", [...named, hints].join(" "));
  });
  return (
    <div className={classes.field}>
      <div className={classes.head}>
        <label htmlFor={id} className={classes.name}>
          {name}
        </label>
        <span className={classes.type}>{typeName(parameter)}</span>
        {parameter.computed !== undefined && value === undefined && <span className={classes.type}>computed</span>}
        {isRequired(parameter) && <span className={classes.required}>required</span>}
        {parameter.optional && standing === NULL && <span className={classes.type}>now null</span>}
        {parameter.optional && standing !== NULL && fallback !== NULL && (
          <button type="button" className={classes.reset} onClick={() => onChange(NULL)}>
            Set to null
          </button>
        )}
        {changed && (fallback !== undefined || parameter.computed !== undefined) && (
          <button type="button" className={classes.reset} onClick={() => onChange(undefined)}>
            Use default
          </button>
        )}
      </div>
      {description && <p className={classes.description}>{shown(description)}</p>}
      <Control
        id={id}
        parameter={parameter}
        value={standing === NULL ? "" : standing}
        problem={problem}
        onChange={onChange}
      />
      <div id={hints} className={classes.hints}>
        {problem && (
          <span className={classes.problem} role="alert">
            {shown(problem)}
          </span>
        )}
        {constraintCel && <code className={classes.rule}>{shown(constraintCel)}</code>}
        <Recent values={recentValues(parameter, recent, value)} onChoose={onChange} />
      </div>
    </div>
  );
}

interface ControlProps {
  id: string;
  parameter: Parameter;
  value: string;
  problem?: string;
  onChange: (value: string) => void;
}

function Control({ id, parameter, value, problem, onChange }: ControlProps) {
  const common = { id, error: problem !== undefined } as const;
  switch (controlOf(parameter)) {
    case "choice":
      return (
        <Select
          {...common}
          data={parameter.choicesJson.map((json) => ({ value: json, label: shown(fieldText(parameter, json)) }))}
          value={parameter.choicesJson.find((json) => json === value || fieldText(parameter, json) === value) ?? null}
          onChange={(json) => json !== null && onChange(json)}
          allowDeselect={false}
          searchable={parameter.choicesJson.length > 8}
        />
      );
    case "choices":
      return (
        <MultiSelect
          {...common}
          data={(parameter.of?.choicesJson ?? []).map((json) => {
            const text = String(JSON.parse(json));
            return { value: text, label: shown(text) };
          })}
          value={textsOf(value)}
          onChange={(texts) => onChange(JSON.stringify(texts))}
        />
      );
    case "texts":
      return (
        <TagsInput
          {...common}
          value={textsOf(value)}
          onChange={(texts) => onChange(JSON.stringify(texts))}
          allowDuplicates
        />
      );
    case "datetime":
      return (
        <TextInput
          {...common}
          type="datetime-local"
          step={1}
          description={`In the zone ${Intl.DateTimeFormat().resolvedOptions().timeZone}; sent as UTC.`}
          value={localTime(value)}
          onChange={(event) => onChange(zonedTime(event.currentTarget.value))}
        />
      );
    case "switch":
      return (
        <Switch
          {...common}
          error={undefined}
          checked={value === "true"}
          onChange={(event) => onChange(String(event.currentTarget.checked))}
          label={value === "true" ? "true" : "false"}
        />
      );
    case "json":
      return (
        <Textarea
          {...common}
          className={classes.json}
          value={value}
          autosize
          minRows={1}
          maxRows={12}
          spellCheck={false}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
    case "text":
      return (
        <Textarea
          {...common}
          value={value}
          autosize
          minRows={1}
          maxRows={8}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
    default:
      return (
        <TextInput
          {...common}
          type={controlOf(parameter) === "date" ? "date" : "text"}
          inputMode={controlOf(parameter) === "number" ? "decimal" : undefined}
          value={value}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
  }
}

function Recent({ values, onChoose }: { values: readonly string[]; onChoose: (value: string) => void }) {
  if (values.length === 0) return null;
  return (
    <span className={classes.recent}>
      Recent
      {values.map((value) => (
        <button type="button" key={value} className={classes.value} onClick={() => onChoose(value)}>
          {shown(value)}
        </button>
      ))}
    </span>
  );
}
