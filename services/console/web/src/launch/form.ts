import { parsedJson } from "../common/text";
import { type Parameter, ValueType } from "../gen/kaonapi/workflow/v1/definition_pb";

/** Which control a parameter has. */
export type Control = "text" | "number" | "switch" | "choice" | "date" | "json";

const TYPES: ReadonlyMap<ValueType, { name: string; control: Control }> = new Map([
  [ValueType.STRING, { name: "text", control: "text" }],
  [ValueType.INT, { name: "integer", control: "number" }],
  [ValueType.FLOAT, { name: "number", control: "number" }],
  [ValueType.BOOL, { name: "true or false", control: "switch" }],
  [ValueType.LIST, { name: "list", control: "json" }],
  [ValueType.MAP, { name: "object", control: "json" }],
  [ValueType.ANY, { name: "any JSON", control: "json" }],
  [ValueType.DATE, { name: "date", control: "date" }],
] as const);

/** Returns what people call the parameter's type. */
export function typeName(parameter: Parameter): string {
  return TYPES.get(parameter.type)?.name ?? "artifact";
}

export function controlOf(parameter: Parameter): Control {
  return parameter.choicesJson.length > 0 ? "choice" : (TYPES.get(parameter.type)?.control ?? "json");
}

const IS_TEXT: readonly ValueType[] = [ValueType.STRING, ValueType.DATE];

/** Returns how a value stands in its field: texts without their quotes, everything else as JSON. */
export function fieldText(parameter: Parameter, json: string): string {
  if (!IS_TEXT.includes(parameter.type)) return json;
  const value = parsedJson(json);
  return typeof value === "string" ? value : json;
}

/** What is typed, as the server wants it; or what is wrong with it. Undefined: not set, so that the default counts. */
export type Encoded = { readonly json: string } | { readonly problem: string } | undefined;

/** Reads a field. The server checks everything again, constraints too. */
export function encodeField(parameter: Parameter, text: string | undefined): Encoded {
  if (text === undefined) return parameter.defaultJson === undefined ? { problem: "Needs a value" } : undefined;
  if (controlOf(parameter) === "choice") return { json: text };
  if (parameter.type === ValueType.STRING) return { json: JSON.stringify(text) };
  const plain = text.trim();
  if (plain === "") return parameter.defaultJson === undefined ? { problem: "Needs a value" } : undefined;
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
  return distinct.filter((text) => text !== standing && text.length <= 60).slice(0, most);
}

const BAD_FIELD = /^params_json\[(.*)\]$/s;

/** Sorts the server's problems to the parameters; what belongs to none comes under "". */
export function problemsByField(
  problems: readonly { readonly field: string; readonly text: string }[],
): Record<string, string> {
  return Object.fromEntries(problems.map(({ field, text }) => [BAD_FIELD.exec(field)?.[1] ?? "", text]));
}
