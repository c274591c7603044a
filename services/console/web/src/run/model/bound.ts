/** Policies of blocks that are known only at run time. */

/** The word for a policy, by the path of its field in a block of the definition. */
export function boundName(field: string, ofStep: boolean): string {
  if (field === "timeout_ms") return ofStep ? "total_timeout" : "timeout";
  const listed = /^(locks|step\.retry\.rules|step\.config\.sidecars)\.(.+)\.([a-z_]+)$/.exec(field);
  if (listed) return `${LISTED[listed[1] as string]}${listed[2]}: ${plain(listed[3] as string)}`;
  if (field.startsWith("step.datasets.")) return `partition of ${field.slice("step.datasets.".length)}`;
  const path = field.split(".");
  const last = plain(path.at(-1) as string);
  const group = path.at(-2);
  return group === "retry" || group === "resources" ? `${group}.${last}` : last;
}

/** What stands before the name of a thing in a list. */
const LISTED: Readonly<Record<string, string>> = {
  locks: "semaphore ",
  "step.retry.rules": "retry.",
  "step.config.sidecars": "sidecar ",
};

function plain(word: string): string {
  return word.replace(/_(ms|bytes|milli)$/, "").replace(/^backoff_factor$/, "factor");
}

/** Names and values, for one line. */
export function boundText(values: Readonly<Record<string, string>>): string {
  const ofStep = Object.keys(values).some((field) => field.startsWith("step."));
  return boundEntries(values, ofStep)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

/** Names and values as they are read: durations in seconds, "by default" for what is unset. */
export function boundEntries(values: Readonly<Record<string, string>>, ofStep: boolean): [string, string][] {
  return Object.keys(values)
    .sort()
    .map((field) => [boundName(field, ofStep), boundValue(field, values[field] as string)]);
}

function boundValue(field: string, json: string): string {
  if (json === "null") return "by default";
  if (field.endsWith("_ms")) return `${Number(json) / 1000} s`;
  if (field.endsWith("memory_bytes")) return `${(Number(json) / 2 ** 20).toFixed(0)} MiB`;
  return field.endsWith("cpu_milli") ? String(Number(json) / 1000) : json;
}
