/** A definition in the words of the language: as somebody would write it in Python. */

import { parsedJson } from "../../common/text";
import {
  type Binding,
  type Block,
  BlockEndKind,
  type Distribution,
  Exhausted,
  type ForEach,
  type Gate,
  GateTimeout,
  type Graph,
  type Notification,
  Occasion,
  OnError,
  type Parameter,
  Phase,
  type StartCondition,
  type Step,
  SubmitStrategy,
  TriggerRule,
  type WorkflowDefinition,
} from "../../gen/kaonapi/workflow/v1/definition_pb";
import { binding, given, STEP_OPTIONS, SUB_WORKFLOW_OPTIONS } from "./bindings";
import { memo, placing, policies } from "./policies";
import { settings } from "./settings";
import { outputsOf, typeOf } from "./types";
import { call, dict, duration, literal, spanText, text, variable, wrapped } from "./words";

/** Blocks that are written at most; the rest is counted. */
const MOST = 3_000;

/** A definition as Python. */
export interface Written {
  readonly text: string;
  /** Blocks that are left out: there are too many to be read. */
  readonly omitted: number;
}

export function writeDefinition(definition: WorkflowDefinition): Written {
  const writer = new Writer();
  return { text: writer.workflow(definition), omitted: writer.omitted };
}

class Writer {
  private readonly lines: string[] = [];
  /** The variables of parameters and items, which blocks with cells or passes are often called like. */
  private readonly values = new Set<string>();
  private blocks = 0;
  omitted = 0;

  workflow(definition: WorkflowDefinition): string {
    this.lines.push("from kaon import *", "");
    if (definition.description) this.lines.push(...definition.description.split("\n").map((line) => `# ${line}`), "");
    // Those that are computed refer to the others.
    const known = definition.parameters.filter((parameter) => parameter.computed === undefined);
    const computed = definition.parameters.filter((parameter) => parameter.computed !== undefined);
    for (const parameter of [...known, ...computed]) this.parameter(parameter);
    if (definition.parameters.length > 0) this.lines.push("");
    const body = this.graph(definition.body);
    const options = [
      ...Object.entries(definition.outputs).map(([name, output]) => [name, binding(output.value)] as const),
    ].map(([name, value]) => `${text(name)}: ${value}`);
    const rest = [
      body || "None",
      ...(definition.parameters.length > 0
        ? [`parameters=[${definition.parameters.map(({ name }) => variable(name)).join(", ")}]`]
        : []),
      ...hooks(definition.body),
      ...(options.length > 0 ? [dict("outputs=", options)] : []),
      ...duration("timeout", definition.timeoutMs),
      ...duration("deadline", definition.deadlineMs),
      ...onError(definition.onError),
      ...(definition.maxActiveRuns > 0 ? [`max_active_runs=${definition.maxActiveRuns}`] : []),
      ...notifications(definition.notifications),
      ...strategy(definition.strategy),
    ];
    this.lines.push("", call("workflow = Workflow", [text(definition.name), ...rest]));
    const written = `${this.lines.join("\n")}\n`;
    return written.includes("Literal[") ? `from typing import Literal\n\n${written}` : written;
  }

  private parameter(parameter: WorkflowDefinition["parameters"][number]): void {
    this.values.add(variable(parameter.name));
    this.lines.push(call(`${variable(parameter.name)} = param`, parameterOptions(parameter)));
  }

  /** Writes the blocks of a graph, and gives the expression that puts them in order. */
  private graph(graph: Graph | undefined): string {
    const names = new Map<string, string>();
    const watching = new Map<string, string>();
    for (const block of graph?.blocks ?? []) {
      if (this.blocks >= MOST) {
        this.omitted++;
        continue;
      }
      this.blocks++;
      const expression = this.block(block);
      if (block.phase <= Phase.BODY) names.set(block.name, expression);
      const watches = WATCHES[block.trigger];
      if (watches) watching.set(block.name, watches);
    }
    return ordered(names, graph?.edges ?? [], watching);
  }

  private nameOf(block: Block): string {
    const name = variable(block.name);
    const holds = ["forEach", "repeat", "branch"].includes(block.kind.case ?? "");
    return holds && this.values.has(name) ? `${name}_` : name;
  }

  private block(block: Block): string {
    const kind = block.kind;
    const name = this.nameOf(block);
    const own = [
      ...locks(block),
      ...duration("timeout", block.timeoutMs),
      ...duration("deadline", block.deadlineMs),
      ...policies(block),
    ];
    switch (kind.case) {
      case "step":
        this.lines.push(
          call(`${name} = steps.${kind.value.type}`, [
            text(block.name),
            ...stepOptions(kind.value),
            ...locks(block),
            ...duration("total_timeout", block.timeoutMs),
            ...duration("deadline", block.deadlineMs),
            ...policies(block),
          ]) + trigger(block),
        );
        return name;
      case "forEach": {
        const named = block.name === `each-${kind.value.item.replaceAll("_", "-")}` ? [] : [`name=${text(block.name)}`];
        this.lines.push(
          call(`${variable(kind.value.item)} = each`, [
            text(kind.value.item),
            ...eachOptions(kind.value),
            ...named,
            ...own,
          ]),
        );
        this.values.add(variable(kind.value.item));
        const body = this.graph(kind.value.body);
        const loop = `${wrapped(body)}**${variable(kind.value.item)}`;
        const rule = trigger(block);
        this.lines.push(`${name} = ${rule ? `(${loop})${rule}` : loop}`);
        return name;
      }
      case "repeat": {
        const body = this.graph(kind.value.body);
        const holds = kind.value.asLongAs;
        const options = holds ? [binding(holds), body] : [body, `until=${binding(kind.value.until)}`];
        if (block.name !== "cycle") options.push(`name=${text(block.name)}`);
        if (kind.value.maxIterations > 0) options.push(`max_iterations=${kind.value.maxIterations}`);
        options.push(...duration("backoff", kind.value.backoffMs));
        if (kind.value.backoffFactor > 0) options.push(`factor=${kind.value.backoffFactor}`);
        if (kind.value.exhausted === Exhausted.ACCEPT) options.push('exhausted="accept"');
        if (kind.value.exhausted === Exhausted.SKIP) options.push('exhausted="skip"');
        this.lines.push(call(`${name} = ${holds ? "while_" : "repeat"}`, [...options, ...own]) + trigger(block));
        return name;
      }
      case "branch": {
        const ways = kind.value.cases.map(
          (way) => `when(${binding(way.condition)}, ${this.graph(way.body) || "None"})`,
        );
        if (kind.value.otherwise) ways.push(`otherwise=${this.graph(kind.value.otherwise) || "None"}`);
        if (block.name !== "branch") ways.push(`name=${text(block.name)}`);
        this.lines.push(call(`${name} = branch`, [...ways, ...own]) + trigger(block));
        return name;
      }
      case "group": {
        const body = this.graph(kind.value.body);
        this.lines.push(
          call(`${name} = group`, [
            body,
            `name=${text(block.name)}`,
            ...hooks(kind.value.body),
            ...onError(kind.value.onError),
            ...own,
          ]) + trigger(block),
        );
        return name;
      }
      case "subWorkflow": {
        const { params, outputs, version, detached } = kind.value;
        this.lines.push(
          call(`${name} = sub_workflow`, [
            text(block.name),
            ...(kind.value.workflow ? [text(kind.value.workflow)] : []),
            ...given("params", params, SUB_WORKFLOW_OPTIONS),
            ...(version ? [`version=${text(version)}`] : []),
            // The only output of one that is not waited for is known.
            ...(detached ? ["wait=False"] : outputsOf(outputs, kind.value.outputContents)),
            ...(kind.value.passParams ? ["pass_params=True"] : []),
            ...memo(kind.value.memo),
            ...own,
          ]) + trigger(block),
        );
        return name;
      }
      case "gate":
        this.lines.push(gate(name, block.name, kind.value, policies(block)) + trigger(block));
        return name;
      default:
        this.lines.push(`${name} = ...  # a block of a newer version`);
        return name;
    }
  }
}

function parameterOptions(parameter: Parameter): string[] {
  const options = [text(parameter.name), typeOf(parameter)];
  if (parameter.defaultJson !== undefined) options.push(`default=${literal(parameter.defaultJson)}`);
  else if (parameter.computed) options.push(`default=${binding(parameter.computed)}`);
  if (parameter.description) options.push(`description=${text(parameter.description)}`);
  if (parameter.constraintCel) options.push(`check=${text(parameter.constraintCel)}`);
  if (parameter.choicesJson.length > 0) options.push(`choices=[${parameter.choicesJson.map(literal).join(", ")}]`);
  return options;
}

/** A chain where the order is one, else one expression for each edge. */
function ordered(
  names: ReadonlyMap<string, string>,
  edges: Graph["edges"],
  watching: ReadonlyMap<string, string>,
): string {
  const all = edges.filter((edge) => names.has(edge.source) && names.has(edge.target));
  const here = all.filter((edge) => !watching.has(edge.target));
  const watches = all.flatMap(({ source, target }) => {
    const verb = watching.get(target);
    return verb === undefined ? [] : [`${names.get(source)}.${verb}(${names.get(target)})`];
  });
  const incoming = count(here.map((edge) => edge.target));
  const outgoing = count(here.map((edge) => edge.source));
  const next = new Map(here.map((edge) => [edge.source, edge.target]));
  const inChain = (edge: { source: string; target: string }): boolean =>
    incoming.get(edge.target) === 1 && outgoing.get(edge.source) === 1;
  const heads = [...names.keys()].filter((name) => {
    const into = here.find((edge) => edge.target === name);
    return into === undefined || !inChain(into);
  });
  const chains = heads.map((head) => {
    const chain = [head];
    for (let at = head; ; ) {
      const to = next.get(at);
      if (to === undefined || !inChain({ source: at, target: to })) break;
      chain.push(to);
      at = to;
    }
    return chain;
  });
  const cross = here.filter((edge) => !inChain(edge)).map((edge) => [edge.source, edge.target]);
  const parts = [
    ...chains.filter((chain) => chain.length > 1 || !cross.some((pair) => pair.includes(chain[0] as string))),
    ...cross,
  ];
  const order = parts
    .filter((chain) => !(chain.length === 1 && watching.has(chain[0] as string)))
    .map((chain) => chain.map((name) => names.get(name)).join(" >> "));
  return [...order, ...watches].join(" | ");
}

function count(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

function notifications(all: readonly Notification[]): string[] {
  const calls = all.map(({ on, channel }) => {
    const words = on.map((occasion) => text((Occasion[occasion] ?? String(occasion)).toLowerCase()));
    return call("notify", [...words, `to=${text(channel)}`]);
  });
  return calls.length > 0 ? [`notify=[${calls.join(", ")}]`] : [];
}

const NO_WATCHES: ReadonlyMap<string, string> = new Map();

function hooks(graph: Graph | undefined): string[] {
  const of = (phase: Phase): string => {
    const blocks = (graph?.blocks ?? []).filter((block) => block.phase === phase);
    return ordered(new Map(blocks.map(({ name }) => [name, variable(name)])), graph?.edges ?? [], NO_WATCHES);
  };
  const failure = of(Phase.ON_FAILURE);
  const always = of(Phase.FINALLY);
  return [...(failure ? [`on_failure=${failure}`] : []), ...(always ? [`finally_=${always}`] : [])];
}

function stepOptions(step: Step): string[] {
  const options = settings(step.type, step.configJson);
  const own = step.type === "publish" ? ["model", "metrics"] : [];
  const used = new Set(
    [...STEP_OPTIONS]
      .filter((name) => !own.includes(name))
      .concat(options.map((option) => option.slice(0, option.indexOf("=")))),
  );
  return [
    ...options,
    ...given("inputs", step.inputs, used),
    ...outputsOf(step.outputs, step.outputContents),
    ...placing(step),
  ];
}

function eachOptions(each: ForEach): string[] {
  const options: string[] = [];
  const space = each.sweep?.space;
  if (space?.case === "grid") {
    options.push(
      call(
        "grid",
        Object.entries(space.value.axes).map(([key, value]) => `${key}=${binding(value)}`),
      ),
    );
  } else if (space?.case === "random") {
    const axes = Object.entries(space.value.axes).map(([key, value]) => `${key}=${distribution(value)}`);
    options.push(call("sample", [`count=${space.value.count}`, `seed=${space.value.seed}`, ...axes]));
  } else options.push(binding(each.items));
  if (each.maxConcurrency > 0) options.push(`max_concurrency=${each.maxConcurrency}`);
  const tolerate = each.failure?.tolerate;
  if (tolerate?.case === "count") options.push(`tolerate=${tolerate.value}`);
  if (tolerate?.case === "percent") options.push(`tolerate="${tolerate.value}%"`);
  options.push(...onError(each.onError));
  const early = each.earlyStopping;
  if (early?.rule.case === "halving") {
    options.push(
      `stop_early=halving(${text(early.metric)}, eta=${early.rule.value.eta || 3}, min_step=${early.rule.value.minStep || 1n})`,
    );
  } else if (early?.rule.case === "median") options.push(`stop_early=median(${text(early.metric)})`);
  return options;
}

function distribution(of: Distribution): string {
  const kind = of.kind;
  switch (kind.case) {
    case "choice":
      return binding(kind.value);
    case "uniform":
      return `uniform(${kind.value.low}, ${kind.value.high})`;
    case "logUniform":
      return `log_uniform(${kind.value.low}, ${kind.value.high})`;
    case "integer":
      return `integers(${kind.value.low}, ${kind.value.high})`;
    default:
      return "...";
  }
}

function gate(name: string, blockName: string, of: Gate, more: string[]): string {
  const kind = of.kind;
  const timeout = [...duration("timeout", of.timeoutMs), ...onTimeout(of), ...more];
  if (kind.case === "approval") {
    const roles = kind.value.roles.length > 0 ? [`roles=[${kind.value.roles.map(text).join(", ")}]`] : [];
    const other = [
      ...(kind.value.rejectFails ? [] : ["reject_fails=False"]),
      ...(kind.value.notSubmitter ? ["not_submitter=True"] : []),
      ...fields(kind.value.fields),
    ];
    return call(`${name} = approval`, [
      text(blockName),
      `message=${text(kind.value.message)}`,
      ...roles,
      ...other,
      ...timeout,
    ]);
  }
  if (kind.case === "signal") {
    const roles = kind.value.roles.length > 0 ? [`roles=[${kind.value.roles.map(text).join(", ")}]`] : [];
    const named = kind.value.name === blockName ? [] : [`signal=${text(kind.value.name)}`];
    const where = kind.value.whereCel === "" ? [] : [`where=${text(kind.value.whereCel)}`];
    const other = fields(kind.value.fields);
    return call(`${name} = signal`, [text(blockName), ...named, ...roles, ...where, ...other, ...timeout]);
  }
  if (kind.case === "run") {
    const params = Object.entries(kind.value.params).map(([key, value]) => `${text(key)}: ${binding(value)}`);
    return call(`${name} = last_run`, [
      text(blockName),
      text(kind.value.workflow),
      ...(params.length > 0 ? [`params={${params.join(", ")}}`] : []),
      ...duration("max_age", kind.value.maxAgeMs),
      ...(kind.value.noWait ? ["wait=False"] : []),
      ...outputsOf(kind.value.outputs, kind.value.outputContents),
      ...timeout,
    ]);
  }
  const due = kind.case === "timer" ? kind.value.due : undefined;
  return call(`${name} = timer`, [
    text(blockName),
    ...(due?.case ? [due.case === "at" ? `at=${binding(due.value)}` : `after=${waitOf(due.value)}`] : []),
    ...more,
  ]);
}

/** A wait: the definition has milliseconds, the language durations. */
function waitOf(of: Binding): string {
  const millis = of.source.case === "literalJson" ? parsedJson(of.source.value) : undefined;
  return typeof millis === "number" && Number.isInteger(millis) ? text(spanText(BigInt(millis))) : binding(of);
}

/** What whoever answers a gate fills in. */
function fields(all: readonly Parameter[]): string[] {
  return all.length > 0 ? [`fields=[${all.map((each) => call("param", parameterOptions(each))).join(", ")}]`] : [];
}

function onTimeout(of: Gate): string[] {
  switch (of.onTimeout) {
    case GateTimeout.DEFAULT:
      if (of.kind.case === "approval") return ['on_timeout="approve"'];
      return [...(of.defaultJson === "" ? ['on_timeout="default"'] : [`default=${literal(of.defaultJson)}`])];
    case GateTimeout.REJECT:
      return ['on_timeout="reject"'];
    case GateTimeout.SKIP:
      return ['on_timeout="skip"'];
    default:
      return [];
  }
}

function locks(block: Block): string[] {
  const held = block.locks.map((lock) => {
    const key = lock.key ? [`key=${binding(lock.key)}`] : [];
    return lock.limit > 1
      ? call("semaphore", [text(lock.name), String(lock.limit), ...key])
      : call("mutex", [text(lock.name), ...key]);
  });
  return held.length > 0 ? [`locks=[${held.join(", ")}]`] : [];
}

const STRATEGIES: Partial<Record<SubmitStrategy, string>> = {
  [SubmitStrategy.SEQUENTIAL]: "sequential",
  [SubmitStrategy.STRICT_SEQUENTIAL]: "strict-sequential",
  [SubmitStrategy.FIRST_ONLY]: "first-only",
  [SubmitStrategy.LAST_ONLY]: "last-only",
  [SubmitStrategy.SEQUENTIAL_LATEST]: "sequential-latest",
};

function strategy(of: SubmitStrategy): string[] {
  const word = STRATEGIES[of];
  return word ? [`strategy=${text(word)}`] : [];
}

const TRIGGERS: Partial<Record<TriggerRule, string>> = {
  [TriggerRule.ALL_SUCCEEDED]: ".when_all_succeeded()",
  [TriggerRule.ANY_SUCCEEDED]: ".when_any()",
  [TriggerRule.ALL_DONE]: ".when_all_done()",
  [TriggerRule.ANY_FAILED]: ".when_any_failed()",
  [TriggerRule.ALL_FAILED]: ".when_all_failed()",
  [TriggerRule.ALWAYS]: ".when_always()",
};

/** Hooks beside a step: what they stand behind, not what is before them. */
const WATCHES: Partial<Record<TriggerRule, string>> = {
  [TriggerRule.ANY_RUNNING]: "on_running",
  [TriggerRule.ANY_RETRIED]: "on_retry",
  [TriggerRule.ANY_LATE]: "on_late",
};

function trigger(block: Block): string {
  const rule = block.start === undefined ? (TRIGGERS[block.trigger] ?? "") : `.when(${start(block.start)})`;
  return rule + (block.optional ? ".optional()" : "");
}

function start(of: StartCondition): string {
  const kind = of.kind;
  if (kind.case === undefined) return "None";
  if (kind.case === "end") return `${variable(kind.value.block)}.${BlockEndKind[kind.value.kind].toLowerCase()}`;
  return kind.value.conditions
    .map((each) => (each.kind.case === "end" ? start(each) : `(${start(each)})`))
    .join(kind.case === "all" ? " & " : " | ");
}

function onError(policy: OnError): string[] {
  if (policy === OnError.UNSPECIFIED) return [];
  return [`on_error="${policy === OnError.FINISH ? "finish" : "fail"}"`];
}
