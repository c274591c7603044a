/** Values that come from elsewhere: parameters, outputs, expressions. */

import { type Binding, OutcomeField } from "../../gen/kaonapi/workflow/v1/definition_pb";
import taken from "./taken.json";
import { call, dict, KEYWORDS, literal, text, variable } from "./words";

export function binding(of: Binding | undefined): string {
  const source = of?.source;
  switch (source?.case) {
    case "literalJson":
      return literal(source.value);
    case "output":
      return `${variable(source.value.step)}[${text(source.value.output)}]`;
    case "parameter":
    case "item":
      return variable(source.value);
    case "last":
      return `last(${text(`${source.value.output?.step}.${source.value.output?.output}`)}, ${binding(source.value.fallback)})`;
    case "expression":
      return call("expr", [
        text(source.value.cel),
        ...Object.entries(source.value.variables).map(([key, value]) => `${key}=${binding(value)}`),
      ]);
    case "list":
      return `[${source.value.bindings.map(binding).join(", ")}]`;
    case "map":
      return `{${Object.entries(source.value.bindings)
        .map(([key, value]) => `${text(key)}: ${binding(value)}`)
        .join(", ")}}`;
    case "outcome":
      return "outcome()";
    case "blockOutcome":
      return `${variable(source.value.block)}.${OutcomeField[source.value.field].toLowerCase()}`;
    case "runInfo":
      return "run_info()";
    default:
      return "None";
  }
}

// A test of the console's package holds the file to the SDK and to Python.
export const STEP_OPTIONS = new Set(taken.step.split(" "));
export const SUB_WORKFLOW_OPTIONS = new Set(taken.subWorkflow.split(" "));

/** Values by name: as keywords where the name is free, the others in a dict that is an option of its own. */
export function given(option: string, values: Readonly<Record<string, Binding>>, used: ReadonlySet<string>): string[] {
  const isFree = (name: string): boolean => /^[A-Za-z_]\w*$/.test(name) && !used.has(name) && !KEYWORDS.has(name);
  const all = Object.entries(values);
  const others = all.filter(([name]) => !isFree(name)).map(([name, value]) => `${text(name)}: ${binding(value)}`);
  return [
    ...all.filter(([name]) => isFree(name)).map(([name, value]) => `${name}=${binding(value)}`),
    ...(others.length > 0 ? [dict(`${option}=`, others)] : []),
  ];
}
