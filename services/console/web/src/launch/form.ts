import { parsedJson } from "../common/text";
import { type Parameter, ValueType } from "../gen/kaonapi/workflow/v1/definition_pb";

/** Which control a parameter has. */
export type Control =
  | "text"
  | "number"
  | "switch"
  | "choice"
  | "choices"
  | "texts"
  | "date"
  | "datetime"
  | "duration"
  | "json";

/** What stands in a field that is to be null: no text that somebody can type. */
export const NULL = "\u0000";

const TYPES: ReadonlyMap<ValueType, { name: string; control: Control }> = new Map([
  [ValueType.STRING, { name: "text", control: "text" }],
  [ValueType.INT, { name: "integer", control: "number" }],
  [ValueType.FLOAT, { name: "number", control: "number" }],
  [ValueType.BOOL, { name: "true or false", control: "switch" }],
  [ValueType.LIST, { name: "list", control: "json" }],
  [ValueType.MAP, { name: "object", control: "json" }],
  [ValueType.ANY, { name: "any JSON", control: "json" }],
  [ValueType.DATE, { name: "date", control: "date" }],
  [ValueType.DATETIME, { name: "time", control: "datetime" }],
  [ValueType.DURATION, { name: "duration", control: "duration" }],
] as const);

/** What has a type: a parameter, or what stands inside of one. */
type Typed = Pick<Parameter, "type" | "of" | "optional">;

/** Returns what people call the parameter's type. */
export function typeName({ type, of, optional }: Typed): string {
  const name = TYPES.get(type)?.name ?? "artifact";
  const inside = of && of.type !== ValueType.UNSPECIFIED ? ` of: ${typeName(of)}` : "";
  return `${name}${inside}${optional ? ", or null" : ""}`;
}

export function controlOf(parameter: Parameter): Control {
  if (parameter.choicesJson.length > 0) return "choice";
  const { of } = parameter;
  if (parameter.type === ValueType.LIST && of && IS_TEXT.includes(of.type) && !of.optional) {
    return of.choicesJson.length > 0 ? "choices" : "texts";
  }
  return TYPES.get(parameter.type)?.control ?? "json";
}

const IS_TEXT: readonly ValueType[] = [ValueType.STRING, ValueType.DATE, ValueType.DATETIME, ValueType.DURATION];

/** Whether a run must be given a value. */
export function isRequired(parameter: Parameter): boolean {
  return parameter.defaultJson === undefined && parameter.computed === undefined && !parameter.optional;
}

/** What has to be filled in stands before what only may be. */
export function requiredFirst(parameters: readonly Parameter[]): Parameter[] {
  return [...parameters.filter(isRequired), ...parameters.filter((parameter) => !isRequired(parameter))];
}

/** Returns how a value stands in its field: texts without their quotes, everything else as JSON. */
export function fieldText(parameter: Parameter, json: string): string {
  if (json === "null" && parameter.optional) return NULL;
  if (!IS_TEXT.includes(parameter.type)) return json;
  const value = parsedJson(json);
  return typeof value === "string" ? value : json;
}

/** Returns the texts in a list of texts. */
export function textsOf(field: string): string[] {
  const value = parsedJson(field);
  return Array.isArray(value) ? value.map(String) : [];
}

/** Returns a time as a field of the browser has it, in the browser's zone; empty for what is no time. */
export function localTime(text: string): string {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return "";
  const shifted = new Date(time.getTime() - time.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}

/** Returns what a field of the browser has as a time with its zone. */
export function zonedTime(local: string): string {
  const time = new Date(local);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString().replace(".000Z", "Z");
}

/** What is typed, as the server wants it; or what is wrong with it. Undefined: not set, so that the default counts. */
export type Encoded = { readonly json: string } | { readonly problem: string } | undefined;

/** Reads a field. The server checks everything again, constraints too. */
export function encodeField(parameter: Parameter, text: string | undefined): Encoded {
  if (text === undefined) return isRequired(parameter) ? { problem: "Needs a value" } : undefined;
  if (text === NULL) return parameter.optional ? { json: "null" } : { problem: "Needs a value" };
  if (controlOf(parameter) === "choice") return { json: text };
  if (parameter.type === ValueType.STRING) return { json: JSON.stringify(text) };
  const plain = text.trim();
  if (plain === "") return isRequired(parameter) ? { problem: "Needs a value" } : undefined;
  return CHECKS.get(parameter.type)?.(plain) ?? checkJson(plain);
}

const CHECKS: ReadonlyMap<ValueType, (text: string) => Encoded> = new Map<ValueType, (text: string) => Encoded>([
  // Digits stay digits: a number of JavaScript would round those beyond 2^53.
  [ValueType.INT, (text) => (/^-?(0|[1-9]\d*)$/.test(text) ? { json: text } : { problem: "Needs a whole number" })],
  [ValueType.FLOAT, (text) => (isNumber(text) ? { json: text } : { problem: "Needs a number, such as 0.5 or 1e-3" })],
  [ValueType.BOOL, (text) => (/^(true|false)$/.test(text) ? { json: text } : { problem: "Needs true or false" })],
  [
    ValueType.DATE,
    (text) => (isDate(text) ? { json: JSON.stringify(text) } : { problem: "Needs a date, such as 2026-11-24" }),
  ],
  [
    ValueType.DATETIME,
    (text) =>
      isTime(text)
        ? { json: JSON.stringify(text) }
        : { problem: "Needs a time with its zone, such as 2026-11-24T06:00:00Z" },
  ],
  [
    ValueType.DURATION,
    (text) =>
      /^-?(\d+(\.\d+)?(d|h|ms|us|ns|m|s))+$/.test(text)
        ? { json: JSON.stringify(text) }
        : { problem: "Needs a duration, such as 30s, 1h30m or 2d" },
  ],
  [ValueType.LIST, (text) => checkJson(text, Array.isArray, 'Needs a list, such as ["US", "CA"]')],
  [ValueType.MAP, (text) => checkJson(text, isObject, 'Needs an object, such as {"rate": 0.5}')],
]);

function isNumber(text: string): boolean {
  return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) && Number.isFinite(Number(text));
}

function isDate(text: string): boolean {
  const [year, month, day] = text.split("-").map(Number);
  const date = new Date(Date.UTC(year ?? 0, (month ?? 0) - 1, day));
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && date.getUTCMonth() + 1 === month && date.getUTCDate() === day;
}

function isTime(text: string): boolean {
  const wanted = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/i;
  return wanted.test(text) && isDate(text.slice(0, 10)) && !Number.isNaN(Date.parse(text));
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function checkJson(text: string, fits: (value: unknown) => boolean = () => true, wanted = ""): Encoded {
  const value = parsedJson(text);
  if (value === undefined) return { problem: `Is no JSON. ${wanted}`.trim() };
  return fits(value) ? { json: text } : { problem: wanted };
}

/** What is typed, by parameter; a parameter that is missing has its default. */
export type Draft = Readonly<Record<string, string>>;

/** Returns what to send, and what is wrong, by parameter. */
export function encodeDraft(
  parameters: readonly Parameter[],
  draft: Draft,
): { params: Record<string, string>; problems: Record<string, string> } {
  const params: Record<string, string> = {};
  const problems: Record<string, string> = {};
  for (const parameter of parameters) {
    const encoded = encodeField(parameter, draft[parameter.name]);
    if (encoded && "json" in encoded) params[parameter.name] = encoded.json;
    else if (encoded) problems[parameter.name] = encoded.problem;
  }
  return { params, problems };
}

/** Returns the draft that submits the same values as a run had. */
export function draftOf(parameters: readonly Parameter[], paramsJson: Readonly<Record<string, string>>): Draft {
  const entries = parameters
    .filter(({ name, defaultJson }) => paramsJson[name] !== undefined && paramsJson[name] !== defaultJson)
    .map((parameter) => [parameter.name, fieldText(parameter, paramsJson[parameter.name]!)]);
  return Object.fromEntries(entries);
}

/** Returns the values that recent runs gave a parameter, newest first, without the one that stands already. */
export function recentValues(
  parameter: Parameter,
  runs: readonly { readonly paramsJson: Readonly<Record<string, string>> }[],
  current: string | undefined,
  most = 5,
): string[] {
  const texts = runs.map((run) => run.paramsJson[parameter.name]).filter((json) => json !== undefined);
  const distinct = [...new Set(texts)].map((json) => fieldText(parameter, json));
  const standing = current ?? fieldText(parameter, parameter.defaultJson ?? "");
  return distinct.filter((text) => text !== standing && text !== NULL && text.length <= 60).slice(0, most);
}

const BAD_FIELD = /^params_json\[(.*)\]$/s;

/** Sorts the server's problems to the parameters; what belongs to none comes under "". */
export function problemsByField(
  problems: readonly { readonly field: string; readonly text: string }[],
): Record<string, string> {
  return Object.fromEntries(problems.map(({ field, text }) => [BAD_FIELD.exec(field)?.[1] ?? "", text]));
}
