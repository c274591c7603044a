/** The words of a launch as commands, for scripts and schedules. */
export interface Launch {
  readonly workflow: string;
  /** JSON by parameter name. */
  readonly params: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly priority: number;
}

/** Returns a text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Returns the command that submits the same. */
export function asCli({ workflow, params, labels, priority }: Launch): string {
  const words = [
    `kaon submit ${shellWord(workflow)}`,
    ...Object.entries(params).map(([name, json]) => `-p ${shellWord(`${name}=${json}`)}`),
    ...Object.entries(labels).map(([name, value]) => `--label ${shellWord(`${name}=${value}`)}`),
    ...(priority === 0 ? [] : [`--priority ${priority}`]),
  ];
  return words.join(" \\\n  ");
}

/** Returns the Python that submits the same. */
export function asPython({ workflow, params, priority, labels }: Launch): string {
  const values = Object.entries(params).map(([name, json]) => `${pythonString(name)}: ${asPythonValue(json)}`);
  const names = Object.entries(labels).map(([name, value]) => `${pythonString(name)}: ${pythonString(value)}`);
  const words = [
    pythonString(workflow),
    ...(values.length === 0 ? [] : [`params=${braces(values)}`]),
    ...(names.length === 0 ? [] : [`labels=${braces(names)}`]),
    ...(priority === 0 ? [] : [`priority=${priority}`]),
  ];
  const call = words.length === 1 ? words[0]! : `\n${words.map((word) => `        ${word},\n`).join("")}    `;
  return `from kaon.client import Client\n\nwith Client() as client:\n    client.submit_registered(${call})\n`;
}

function braces(entries: readonly string[]): string {
  return `{\n${entries.map((entry) => `            ${entry},\n`).join("")}        }`;
}

function pythonString(text: string): string {
  return JSON.stringify(text);
}

/** Returns JSON as a Python literal. Strings of JSON are strings of Python; only three words differ. */
export function asPythonValue(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|\b(?:true|false|null)\b/g, (part) => {
    if (part.startsWith('"')) return part.replaceAll("\\/", "/");
    return { true: "True", false: "False", null: "None" }[part]!;
  });
}
