/** The settings of a step's type, as the functions of `steps` take them. */

import { parsedJson } from "../../common/text";
import { sizeOf } from "./policies";
import { call, literal, spanText, text } from "./words";

type Config = Readonly<Record<string, unknown>>;

/** What a type is given by position, by its name in the definition: the function or file that runs. */
const PLACED: Readonly<Record<string, readonly string[]>> = {
  python: ["entry"],
  spark: ["entry", "file"],
  r: ["file"],
  scala: ["file"],
  hive: ["query", "file"],
  publish: ["model_name"],
  docker: ["image"],
};

/** The settings as arguments: what stands by position first. */
export function settings(type: string, configJson: string): string[] {
  const config = parsedJson(configJson);
  if (!isConfig(config)) return [];
  const placed = (PLACED[type] ?? []).filter((key) => typeof config[key] === "string").slice(0, 1);
  return [
    ...placed.map((key) => written(config[key])),
    ...Object.entries(config)
      // The types of times come with what is bound to them.
      .filter(([key]) => !placed.includes(key) && !(key === "types" && type in PLACED))
      .flatMap(([key, value]) => setting(key, value)),
  ];
}

function setting(key: string, value: unknown): string[] {
  if (isNothing(value)) return [];
  if (key === "ready_ms") return [`ready_timeout=${text(spanText(BigInt(Number(value))))}`];
  if (key === "memory_bytes") return [`memory=${text(sizeOf(BigInt(Number(value))))}`];
  if (key === "sidecars" && Array.isArray(value)) return [`sidecars=[${value.map(sidecar).join(", ")}]`];
  return [`${key}=${written(value)}`];
}

function sidecar(value: unknown): string {
  if (!isConfig(value)) return written(value);
  const { name, image, ready_ms, ...rest } = value;
  // A time to become ready means something only beside what tells that.
  const options = Object.entries(isNothing(rest.ready) ? rest : { ...rest, ready_ms }).flatMap(([key, each]) =>
    setting(key, each),
  );
  return call("sidecar", [written(name), written(image), ...options]);
}

function isConfig(value: unknown): value is Config {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a setting says no more than that there is none. */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function written(value: unknown): string {
  return literal(JSON.stringify(value));
}
