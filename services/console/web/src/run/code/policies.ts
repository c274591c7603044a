/** What a block is held to: retries, resources, memo, and policies that are known only at run time. */

import { create } from "@bufbuild/protobuf";
import {
  type Binding,
  type Block,
  Isolation,
  type Memo,
  type Resources,
  type RetryPolicy,
  RetryPolicySchema,
  type RetryRule,
  type Step,
} from "../../gen/kaonapi/workflow/v1/definition_pb";
import { boundName } from "../model/bound";
import { binding } from "./bindings";
import { call, dict, duration, spanText, text } from "./words";

type Bound = Readonly<Record<string, Binding>>;

// Before the name of a dataset whose partition is known only at run time.
const DATASETS = "step.datasets.";
// Policies that are calls of their own, with what is known now and what is known later.
const CALLS = /^step\.(retry|resources)\./;

/** The policies of a block as options. */
export function policies(block: Block): string[] {
  const { bound } = block;
  const step = block.kind.case === "step" ? block.kind.value : undefined;
  const later = Object.keys(bound)
    .filter((field) => !field.startsWith(DATASETS) && !CALLS.test(field))
    .sort()
    .map((field) => `${boundName(field, step !== undefined)}=${binding(bound[field])}`);
  if (step === undefined) return later;
  return [
    ...later,
    ...called("retry=Retry", retry(step.retry, bound)),
    ...called("resources=Resources", resources(step.resources, bound)),
    ...produces(step, bound),
  ];
}

function called(head: string, options: readonly string[]): string[] {
  return options.length > 0 ? [call(head, options)] : [];
}

/** One option of a policy: bound to a value of the run, or as it stands, or nothing for the default. */
function option(bound: Bound, field: string, name: string, value: string | undefined): string[] {
  const later = bound[field];
  if (later) return [`${name}=${binding(later)}`];
  return value === undefined ? [] : [`${name}=${value}`];
}

/** Milliseconds as an option has them; the default is not written. */
function span(millis: bigint, usual: bigint): string | undefined {
  if (millis === usual) return undefined;
  return millis === 0n ? "0" : text(spanText(millis));
}

const SECOND = 1_000n;
const HOUR = 3_600_000n;
const NO_RETRY = create(RetryPolicySchema, { backoffMs: SECOND });

function retry(policy: RetryPolicy | undefined, bound: Bound): string[] {
  const at = (field: string): string => `step.retry.${field}`;
  const known = policy !== undefined && (policy.maxAttempts > 1 || policy.rules.length > 0);
  if (!known && !Object.keys(bound).some((field) => field.startsWith(at("")))) return [];
  const { maxAttempts, backoffMs, backoffFactor, maxBackoffMs, jitter, maxDurationMs, rules } = policy ?? NO_RETRY;
  return [
    ...option(bound, at("max_attempts"), "max_attempts", known ? String(maxAttempts || 1) : undefined),
    ...option(bound, at("backoff_ms"), "backoff", span(backoffMs, SECOND)),
    ...option(
      bound,
      at("backoff_factor"),
      "factor",
      [0, 2].includes(backoffFactor) ? undefined : String(backoffFactor),
    ),
    ...option(bound, at("max_backoff_ms"), "max_backoff", span(maxBackoffMs || HOUR, HOUR)),
    ...option(bound, at("jitter"), "jitter", jitter === 0 ? undefined : String(jitter)),
    ...option(bound, at("max_duration_ms"), "max_duration", span(maxDurationMs, 0n)),
    ...rulesOf(rules, bound),
  ];
}

/** By error where no rule looks at messages, else as a list. */
function rulesOf(rules: readonly RetryRule[], bound: Bound): string[] {
  if (rules.length === 0) return [];
  if (rules.some((rule) => rule.messagePattern !== "")) {
    return [`rules=[\n${rules.map((rule) => `    ${ruleCall(rule, bound, true)},`).join("\n")}\n]`];
  }
  return [
    dict(
      "rules=",
      rules.map((rule) => `${errorOf(rule)}: ${ruleCall(rule, bound, false)}`),
    ),
  ];
}

function errorOf(rule: RetryRule): string {
  return rule.exitCode > 0 ? String(rule.exitCode) : text(rule.errorType);
}

function ruleCall(rule: RetryRule, bound: Bound, named: boolean): string {
  const word = rule.exitCode > 0 ? String(rule.exitCode) : rule.errorType;
  const at = `step.retry.rules.${rule.messagePattern ? `${word}~${rule.messagePattern}` : word}`;
  const attempts = option(bound, `${at}.max_attempts`, "max_attempts", String(rule.maxAttempts || 1));
  const wait = option(bound, `${at}.backoff_ms`, "backoff", span(rule.backoffMs, 0n));
  if (!named && wait.length === 0) return (attempts[0] as string).replace(/^max_attempts=/, "");
  const error = named && (rule.exitCode > 0 || rule.errorType !== "") ? [`error=${errorOf(rule)}`] : [];
  const message = rule.messagePattern === "" ? [] : [`message=${text(rule.messagePattern)}`];
  return `RetryRule(${[...error, ...message, ...attempts, ...wait].join(", ")})`;
}

function resources(asked: Resources | undefined, bound: Bound): string[] {
  const at = (field: string): string => `step.resources.${field}`;
  const custom = new Map(Object.entries(asked?.custom ?? {}).map(([name, count]) => [name, String(count)]));
  for (const [field, value] of Object.entries(bound)) {
    if (field.startsWith(at("custom."))) custom.set(field.slice(at("custom.").length), binding(value));
  }
  const known = (value: number | bigint | undefined, usual: number): string | undefined =>
    value === undefined || Number(value) === 0 || Number(value) === usual ? undefined : String(value);
  return [
    ...option(bound, at("slots"), "slots", known(asked?.slots, 1)),
    ...option(bound, at("cpu_milli"), "cpu", known(Number(asked?.cpuMilli ?? 0n) / 1000, 0)),
    ...option(bound, at("memory_bytes"), "memory", asked?.memoryBytes ? text(sizeOf(asked.memoryBytes)) : undefined),
    ...option(bound, at("gpu"), "gpu", known(asked?.gpu, 0)),
    ...(custom.size > 0
      ? [`custom={${[...custom].map(([name, count]) => `${text(name)}: ${count}`).join(", ")}}`]
      : []),
  ];
}

/** "2GiB" for as many bytes: in the largest unit of which they are a whole number. */
export function sizeOf(bytes: bigint): string {
  const units: readonly [bigint, string][] = [
    [2n ** 30n, "GiB"],
    [2n ** 20n, "MiB"],
    [2n ** 10n, "KiB"],
  ];
  const unit = units.find(([size]) => bytes % size === 0n);
  return unit ? `${bytes / unit[0]}${unit[1]}` : `${bytes}B`;
}

/** Whether earlier outputs count, as an option. The code that counts is known by its digest alone. */
export function memo(of: Memo | undefined): string[] {
  if (!of?.enabled) return [];
  const options = [...(of.salt ? [`salt=${text(of.salt)}`] : []), ...duration("max_age", of.maxAgeMs)];
  return [options.length > 0 ? call("memo=Memo", options) : "memo=True"];
}

/** Where a step runs and how, as options. */
export function placing(step: Step): string[] {
  return [
    ...(step.pool ? [`pool=${text(step.pool)}`] : []),
    ...(step.labels.length > 0 ? [`labels=[${step.labels.map(text).join(", ")}]`] : []),
    ...(step.tags.length > 0 ? [`tags=[${step.tags.map(text).join(", ")}]`] : []),
    ...(step.priority !== 0 ? [`priority=${step.priority}`] : []),
    ...(step.isolation === Isolation.UNSPECIFIED
      ? []
      : [`isolation="${step.isolation === Isolation.WARM ? "warm" : "process"}"`]),
    ...(step.requirementsFile ? [`requirements=${text(step.requirementsFile)}`] : []),
    ...memo(step.memo),
    ...(step.skipExitCodes.length > 0 ? [`skip_exit_codes=[${step.skipExitCodes.join(", ")}]`] : []),
    ...(step.exclusive ? ["exclusive=True"] : []),
    ...(step.serves ? ["serves=True"] : []),
    ...duration("timeout", step.timeoutMs),
  ];
}

/** The datasets that a step updates, as an option. */
function produces(step: Step, bound: Bound): string[] {
  const made = Object.entries(step.datasets).map(([name, partition]) => {
    const later = bound[`${DATASETS}${name}`];
    const value = later ? binding(later) : partition ? text(partition) : "";
    return call("dataset", value ? [text(name), `partition=${value}`] : [text(name)]);
  });
  return made.length > 0 ? [`produces=[${made.join(", ")}]`] : [];
}
