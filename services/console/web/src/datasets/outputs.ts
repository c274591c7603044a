import { parsedJson } from "../common/text";

/** Reads what stands for the outputs of an update: a JSON object, or nothing. Returns each value as JSON, or what is wrong. */
export function outputsOf(text: string): { values: Readonly<Record<string, string>>; problem: string } {
  if (text.trim() === "") return { values: {}, problem: "" };
  const value = parsedJson(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { values: {}, problem: 'Give a JSON object, such as {"rows": 1200}.' };
  return {
    values: Object.fromEntries(Object.entries(value).map(([name, each]) => [name, JSON.stringify(each)])),
    problem: "",
  };
}

/** The partitions that updates name, each once, in order; the dataset as a whole is the empty one. */
export function partitionsOf(updates: readonly { partition: string }[]): string[] {
  return [...new Set(updates.map(({ partition }) => partition))].sort((one, other) => one.localeCompare(other));
}
