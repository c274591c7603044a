import { useCallback, useState } from "react";
import type { Draft } from "./form";

/** Everything that is typed into a launch form. */
export interface Form {
  readonly values: Draft;
  readonly labels: readonly string[];
  readonly priority: number;
  /** Given to the server with the submission, so that a second try makes no second run. */
  readonly key: string;
}

const EMPTY: Omit<Form, "key"> = { values: {}, labels: [], priority: 0 };

function nameOf(workflow: string): string {
  return `kaon-launch-${workflow}`;
}

function fresh(): Form {
  return { ...EMPTY, key: crypto.randomUUID() };
}

function read(workflow: string): Form | undefined {
  try {
    const text = sessionStorage.getItem(nameOf(workflow));
    return text === null ? undefined : { ...fresh(), ...JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function keep(workflow: string, form: Form | undefined): void {
  try {
    if (form === undefined) sessionStorage.removeItem(nameOf(workflow));
    else sessionStorage.setItem(nameOf(workflow), JSON.stringify(form));
  } catch {
    // A browser that forbids storage keeps the form as long as the page.
  }
}

/** The form of one workflow. It outlives a reload and the end of a session; `clear` is for when it was sent. */
export function useForm(workflow: string, initial: Partial<Form> | undefined) {
  const [form, setForm] = useState<Form>(() => (initial ? { ...fresh(), ...initial } : (read(workflow) ?? fresh())));
  const change = useCallback(
    (part: Partial<Omit<Form, "key">>) =>
      setForm((old) => {
        // Another content is another submission.
        const next = { ...old, ...part, key: crypto.randomUUID() };
        keep(workflow, next);
        return next;
      }),
    [workflow],
  );
  const clear = useCallback(() => {
    keep(workflow, undefined);
    setForm(fresh());
  }, [workflow]);
  return { form, change, clear };
}

/** Reads "name=value" texts; the problem names the first that is none. */
export function readLabels(texts: readonly string[]): { labels: Record<string, string>; problem?: string } {
  const labels: Record<string, string> = {};
  for (const text of texts) {
    const [name, value] = splitLabel(text);
    if (name === "" || value === "") return { labels, problem: `“${text}” is not of the form name=value` };
    labels[name] = value;
  }
  return { labels };
}

/** Splits "name=value" at the first "="; a text without one is a name. */
export function splitLabel(text: string): [string, string] {
  const at = text.indexOf("=");
  return at < 0 ? [text.trim(), ""] : [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}
