/** Types as they are written: `list["datetime"]`. */

import { type Parameter, type Shape, ValueType } from "../../gen/kaonapi/workflow/v1/definition_pb";
import { dict, literal, text } from "./words";

const TYPES: Partial<Record<ValueType, string>> = {
  [ValueType.STRING]: "str",
  [ValueType.INT]: "int",
  [ValueType.FLOAT]: "float",
  [ValueType.BOOL]: "bool",
  [ValueType.LIST]: "list",
  [ValueType.MAP]: "dict",
  [ValueType.ANY]: "object",
  [ValueType.DATE]: '"date"',
  [ValueType.DATETIME]: '"datetime"',
  [ValueType.DURATION]: '"duration"',
  [ValueType.FILE]: '"file"',
  [ValueType.DATASET]: '"dataset"',
  [ValueType.MODEL]: '"model"',
  [ValueType.METRICS]: '"metrics"',
  [ValueType.PLOT]: '"plot"',
  [ValueType.TABLE]: '"table"',
  [ValueType.TEXT]: '"text"',
};

/** Writes a type with what is inside of it. */
export function typeOf({ type, of, optional }: Pick<Parameter, "type" | "of" | "optional">): string {
  const name = TYPES[type] ?? "object";
  if (of && of.type !== ValueType.UNSPECIFIED) {
    const inside = of.choicesJson.length > 0 ? `Literal[${of.choicesJson.map(literal).join(", ")}]` : typeOf(of);
    const whole = type === ValueType.MAP ? `dict[str, ${inside}]` : `list[${inside}]`;
    return optional ? `${whole} | None` : whole;
  }
  if (!optional) return name;
  return name.endsWith('"') ? `${name.slice(0, -1)}?"` : `${name} | None`;
}

/** The outputs of a step or block, with what stands inside of lists and maps. */
export function outputsOf(
  outputs: Readonly<Record<string, ValueType>>,
  contents: Readonly<Record<string, Shape>>,
): string[] {
  const all = Object.entries(outputs).map(
    ([name, type]) => `${text(name)}: ${typeOf({ type, of: contents[name], optional: false })}`,
  );
  return all.length > 0 ? [dict("outputs=", all)] : [];
}
