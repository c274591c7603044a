/** Pieces of Python: names, literals, calls. */

import { parsedJson } from "../../common/text";
import taken from "./taken.json";

/** A duration as an option; nothing for none. */
export function duration(name: string, millis: bigint): string[] {
  return millis > 0n ? [`${name}="${spanText(millis)}"`] : [];
}

/** "90s" for 90,000 milliseconds: in the largest unit of which they are a whole number. */
export function spanText(millis: bigint): string {
  const units: readonly [bigint, string][] = [
    [86_400_000n, "d"],
    [3_600_000n, "h"],
    [60_000n, "m"],
    [1_000n, "s"],
  ];
  const unit = units.find(([size]) => millis % size === 0n);
  return unit ? `${millis / unit[0]}${unit[1]}` : `${millis}ms`;
}

/** A call on one line where it fits, else one argument a line. */
export function call(head: string, options: readonly string[]): string {
  const line = `${head}(${options.join(", ")})`;
  if (line.length <= 100 && !line.includes("\n")) return line;
  const inner = options.map((option) => `    ${option.replaceAll("\n", "\n    ")},`);
  return `${head}(\n${inner.join("\n")}\n)`;
}

/** A dict, or keywords, on one line where they fit, else one entry a line. */
export function dict(head: string, entries: readonly string[]): string {
  const line = `${head}{${entries.join(", ")}}`;
  if (line.length <= 92 && !line.includes("\n")) return line;
  return `${head}{\n${entries.map((entry) => `    ${entry.replaceAll("\n", "\n    ")},`).join("\n")}\n}`;
}

/** In parentheses where it is more than one name. */
export function wrapped(body: string): string {
  return / >> | \| /.test(body) ? `(${body})` : body;
}

// A test of the console's package holds the file to Python and to the language.
/** What Python keeps for itself. */
export const KEYWORDS = new Set(taken.keywords.split(" "));
const LANGUAGE = new Set(taken.language.split(" "));

/** The name of a block as one of Python, which hides none of the language's. */
export function variable(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_]/g, "_");
  return KEYWORDS.has(plain) || LANGUAGE.has(plain) ? `${plain}_` : plain;
}

/** Text in its quotes. */
export function text(value: string): string {
  return JSON.stringify(value);
}

/** JSON as Python writes it; numbers stay as they are, since 1.0 is none of the whole ones. */
export function literal(json: string): string {
  if (json.length > 4_000) return `${json.slice(0, 4_000)}...`;
  if (parsedJson(json) === undefined) return json;
  return json.replace(TOKENS, (token) => (token.startsWith('"') ? text(JSON.parse(token)) : (PYTHON[token] ?? "")));
}

const TOKENS = /"(?:[^"\\]|\\.)*"|true|false|null|[,:]|\s+/g;
const PYTHON: Readonly<Record<string, string>> = { true: "True", false: "False", null: "None", ",": ", ", ":": ": " };
