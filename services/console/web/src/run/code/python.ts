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
  type Graph,
  type Notification,
  Occasion,
  OnError,
  OutcomeField,
  type Parameter,
  Phase,
  type StartCondition,
  type Step,
  SubmitStrategy,
  TriggerRule,
  ValueType,
  type WorkflowDefinition,
} from "../../gen/kaonapi/workflow/v1/definition_pb";
import { boundName } from "../model/bound";
import taken from "./taken.json";

/** Blocks that are written at most; the rest is counted. */
const MOST = 3_000;

export function definitionText(definition: WorkflowDefinition): string {
  return new Writer().workflow(definition);
}

class Writer {
  private readonly lines: string[] = [];
  private blocks = 0;
  private omitted = 0;

  workflow(definition: WorkflowDefinition): string {
    this.lines.push("from kaon import *", "");
    if (definition.description) this.lines.push(...definition.description.split("\n").map((line) => `# ${line}`), "");
    for (const parameter of definition.parameters) this.parameter(parameter);
    if (definition.parameters.length > 0) this.lines.push("");
    const body = this.graph(definition.body);
    const options = [
      ...Object.entries(definition.outputs).map(([name, output]) => [name, binding(output.value)] as const),
    ].map(([name, value]) => `${text(name)}: ${value}`);
    const rest = [
      body || "None",
      ...hooks(definition.body),
      ...(options.length > 0 ? [`outputs={${options.join(", ")}}`] : []),
      ...duration("timeout", definition.timeoutMs),
      ...duration("deadline", definition.deadlineMs),
      ...onError(definition.onError),
      ...(definition.maxActiveRuns > 0 ? [`max_active_runs=${definition.maxActiveRuns}`] : []),
      ...notifications(definition.notifications),
      ...strategy(definition.strategy),
    ];
    this.lines.push("", call("workflow = Workflow", [text(definition.name), ...rest]));
    if (this.omitted > 0) this.lines.push("", `# ${this.omitted} more blocks are not shown.`);
    return `${this.lines.join("\n")}\n`;
  }

  private parameter(parameter: WorkflowDefinition["parameters"][number]): void {
    const options = [text(parameter.name), typeOf(parameter)];
    if (parameter.defaultJson !== undefined) options.push(`default=${literal(parameter.defaultJson)}`);
    if (parameter.description) options.push(`description=${text(parameter.description)}`);
    if (parameter.constraintCel) options.push(`check=${text(parameter.constraintCel)}`);
    if (parameter.choicesJson.length > 0) options.push(`choices=[${parameter.choicesJson.map(literal).join(", ")}]`);
    this.lines.push(call(`${variable(parameter.name)} = param`, options));
  }

  /** Writes the blocks of a graph, and gives the expression that puts them in order. */
  private graph(graph: Graph | undefined): string {
    const names = new Map<string, string>();
    for (const block of graph?.blocks ?? []) {
      if (this.blocks >= MOST) {
        this.omitted++;
        continue;
      }
      this.blocks++;
      const expression = this.block(block);
      if (block.phase <= Phase.BODY) names.set(block.name, expression);
    }
    return ordered(names, graph?.edges ?? []);
  }

  private block(block: Block): string {
    const name = variable(block.name);
    const kind = block.kind;
    const own = [
      ...locks(block),
      ...duration("timeout", block.timeoutMs),
      ...duration("deadline", block.deadlineMs),
      ...bound(block),
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
            ...bound(block),
          ]) + trigger(block),
        );
        return name;
      case "forEach": {
        const body = this.graph(kind.value.body);
        this.lines.push(
          call(`${variable(kind.value.item)} = each`, [text(kind.value.item), ...eachOptions(kind.value), ...own]),
        );
        const loop = `${wrapped(body)}**${variable(kind.value.item)}`;
        const rule = trigger(block);
        this.lines.push(`${name} = ${rule ? `(${loop})${rule}` : loop}`);
        return name;
      }
      case "repeat": {
        const body = this.graph(kind.value.body);
        const holds = kind.value.asLongAs;
        const options = holds ? [binding(holds), body] : [body, `until=${binding(kind.value.until)}`];
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
            ...(detached ? ["wait=False"] : outputsOf(outputs)),
            ...(kind.value.passParams ? ["pass_params=True"] : []),
            ...(kind.value.memo?.enabled ? ["memo=True"] : []),
            ...own,
          ]) + trigger(block),
        );
        return name;
      }
      case "gate":
        this.lines.push(gate(name, block.name, kind.value, bound(block)) + trigger(block));
        return name;
      default:
        this.lines.push(`${name} = ...  # a block of a newer version`);
        return name;
    }
  }
}

const TYPES: Partial<Record<ValueType, string>> = {
  [ValueType.STRING]: "str",
  [ValueType.INT]: "int",
  [ValueType.FLOAT]: "float",
  [ValueType.BOOL]: "bool",
  [ValueType.LIST]: "list",
  [ValueType.MAP]: "dict",
  [ValueType.ANY]: "object",
  [ValueType.DATE]: '"date"',
  [ValueType.DATETIME]: '"datetime"',
  [ValueType.DURATION]: '"duration"',
  [ValueType.FILE]: '"file"',
  [ValueType.DATASET]: '"dataset"',
  [ValueType.MODEL]: '"model"',
  [ValueType.METRICS]: '"metrics"',
  [ValueType.PLOT]: '"plot"',
  [ValueType.TABLE]: '"table"',
  [ValueType.TEXT]: '"text"',
};

/** Writes a type with what is inside of it: `list["datetime"]`. */
function typeOf({ type, of, optional }: Pick<Parameter, "type" | "of" | "optional">): string {
  const name = TYPES[type] ?? "object";
  if (of && of.type !== ValueType.UNSPECIFIED) {
    const inside = of.choicesJson.length > 0 ? `Literal[${of.choicesJson.map(literal).join(", ")}]` : typeOf(of);
    const whole = type === ValueType.MAP ? `dict[str, ${inside}]` : `list[${inside}]`;
    return optional ? `${whole} | None` : whole;
  }
  if (!optional) return name;
  return name.endsWith('"') ? `${name.slice(0, -1)}?"` : `${name} | None`;
}

/** A chain where the order is one, else one expression for each edge. */
function ordered(names: ReadonlyMap<string, string>, edges: Graph["edges"]): string {
  const here = edges.filter((edge) => names.has(edge.source) && names.has(edge.target));
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
  return parts.map((chain) => chain.map((name) => names.get(name)).join(" >> ")).join(" | ");
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

function hooks(graph: Graph | undefined): string[] {
  const of = (phase: Phase): string =>
    (graph?.blocks ?? [])
      .filter((block) => block.phase === phase)
      .map((block) => variable(block.name))
      .join(" | ");
  const failure = of(Phase.ON_FAILURE);
  const always = of(Phase.FINALLY);
  return [...(failure ? [`on_failure=${failure}`] : []), ...(always ? [`finally_=${always}`] : [])];
}

// A test of the console's package holds the file to the SDK and to Python.
const STEP_OPTIONS = new Set(taken.step.split(" "));
const SUB_WORKFLOW_OPTIONS = new Set(taken.subWorkflow.split(" "));
/** What Python keeps for itself. */
const KEYWORDS = new Set(taken.keywords.split(" "));

/** Values by name: as keywords where the name is free, the others in a dict that is an option of its own. */
function given(option: string, values: Readonly<Record<string, Binding>>, used: ReadonlySet<string>): string[] {
  const isFree = (name: string): boolean => /^[A-Za-z_]\w*$/.test(name) && !used.has(name) && !KEYWORDS.has(name);
  const all = Object.entries(values);
  const others = all.filter(([name]) => !isFree(name)).map(([name, value]) => `${text(name)}: ${binding(value)}`);
  return [
    ...all.filter(([name]) => isFree(name)).map(([name, value]) => `${name}=${binding(value)}`),
    ...(others.length > 0 ? [`${option}={${others.join(", ")}}`] : []),
  ];
}

function outputsOf(outputs: Readonly<Record<string, ValueType>>): string[] {
  const all = Object.entries(outputs).map(([name, type]) => `${text(name)}: ${TYPES[type] ?? "object"}`);
  return all.length > 0 ? [`outputs={${all.join(", ")}}`] : [];
}

function stepOptions(step: Step): string[] {
  const options: string[] = [];
  const config = parsedJson(step.configJson);
  if (typeof config === "object" && config !== null) {
    for (const [key, value] of Object.entries(config)) options.push(`${key}=${literal(JSON.stringify(value))}`);
  }
  const used = new Set([...STEP_OPTIONS, ...options.map((option) => option.slice(0, option.indexOf("=")))]);
  options.push(...given("inputs", step.inputs, used), ...outputsOf(step.outputs));
  if (step.retry && step.retry.maxAttempts > 1) options.push(`retry=Retry(max_attempts=${step.retry.maxAttempts})`);
  if (step.pool) options.push(`pool=${text(step.pool)}`);
  if (step.labels.length > 0) options.push(`labels=[${step.labels.map(text).join(", ")}]`);
  if (step.tags.length > 0) options.push(`tags=[${step.tags.map(text).join(", ")}]`);
  if (step.memo?.enabled) options.push("memo=True");
  if (step.skipExitCodes.length > 0) options.push(`skip_exit_codes=[${step.skipExitCodes.join(", ")}]`);
  if (step.exclusive) options.push("exclusive=True");
  if (step.serves) options.push("serves=True");
  return [...options, ...duration("timeout", step.timeoutMs)];
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
  const timeout = [...duration("timeout", of.timeoutMs), ...more];
  const kind = of.kind;
  if (kind.case === "approval") {
    const roles = kind.value.roles.length > 0 ? [`roles=[${kind.value.roles.map(text).join(", ")}]`] : [];
    const other = kind.value.notSubmitter ? ["not_submitter=True"] : [];
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
    return call(`${name} = signal`, [text(blockName), ...named, ...roles, ...where, ...timeout]);
  }
  if (kind.case === "run") {
    const params = Object.entries(kind.value.params).map(([key, value]) => `${text(key)}: ${binding(value)}`);
    return call(`${name} = last_run`, [
      text(blockName),
      text(kind.value.workflow),
      ...(params.length > 0 ? [`params={${params.join(", ")}}`] : []),
      ...duration("max_age", kind.value.maxAgeMs),
      ...(kind.value.noWait ? ["wait=False"] : []),
      ...timeout,
    ]);
  }
  const due = kind.case === "timer" ? kind.value.due : undefined;
  return call(`${name} = timer`, [
    text(blockName),
    ...(due?.case ? [`${due.case === "at" ? "at" : "after"}=${binding(due.value)}`] : []),
    ...more,
  ]);
}

// Before the name of a dataset whose partition is known only at run time.
const DATASETS = "step.datasets.";

/** Policies that are known only at run time, as options. */
function bound(block: Block): string[] {
  const parts: Record<string, string[]> = { retry: [], resources: [] };
  const options: string[] = [];
  for (const field of Object.keys(block.bound).sort()) {
    if (field.startsWith(DATASETS)) continue;
    const [name, part] = boundName(field, block.kind.case === "step").split(".") as [string, string | undefined];
    const value = binding(block.bound[field]);
    if (part === undefined) options.push(`${name}=${value}`);
    else parts[name]?.push(`${part}=${value}`);
  }
  if (parts.retry?.length) options.push(call("retry=Retry", parts.retry));
  if (parts.resources?.length) options.push(call("resources=Resources", parts.resources));
  return [...options, ...produces(block)];
}

/** The datasets that a step updates, as an option. */
function produces(block: Block): string[] {
  if (block.kind.case !== "step") return [];
  const made = Object.entries(block.kind.value.datasets).map(([name, partition]) => {
    const later = block.bound[`${DATASETS}${name}`];
    const value = later ? binding(later) : partition ? text(partition) : "";
    return call("dataset", value ? [text(name), `partition=${value}`] : [text(name)]);
  });
  return made.length > 0 ? [`produces=[${made.join(", ")}]`] : [];
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

function binding(of: Binding | undefined): string {
  const source = of?.source;
  switch (source?.case) {
    case "literalJson":
      return literal(source.value);
    case "output":
      return `${variable(source.value.step)}[${text(source.value.output)}]`;
    case "parameter":
    case "item":
      return variable(source.value);
    case "last":
      return `last(${text(`${source.value.output?.step}.${source.value.output?.output}`)}, ${binding(source.value.fallback)})`;
    case "expression":
      return call("expr", [
        text(source.value.cel),
        ...Object.entries(source.value.variables).map(([key, value]) => `${key}=${binding(value)}`),
      ]);
    case "list":
      return `[${source.value.bindings.map(binding).join(", ")}]`;
    case "map":
      return `{${Object.entries(source.value.bindings)
        .map(([key, value]) => `${text(key)}: ${binding(value)}`)
        .join(", ")}}`;
    case "outcome":
      return "outcome()";
    case "blockOutcome":
      return `${variable(source.value.block)}.${OutcomeField[source.value.field].toLowerCase()}`;
    case "runInfo":
      return "run_info()";
    default:
      return "None";
  }
}

function duration(name: string, millis: bigint): string[] {
  if (millis <= 0n) return [];
  const units: readonly [bigint, string][] = [
    [86_400_000n, "d"],
    [3_600_000n, "h"],
    [60_000n, "m"],
    [1_000n, "s"],
  ];
  const unit = units.find(([size]) => millis % size === 0n);
  return [`${name}="${unit ? `${millis / unit[0]}${unit[1]}` : `${millis}ms`}"`];
}

/** A call on one line where it fits, else one argument a line. */
function call(head: string, options: readonly string[]): string {
  const line = `${head}(${options.join(", ")})`;
  if (line.length <= 100 && !line.includes("\n")) return line;
  const inner = options.map((option) => `    ${option.replaceAll("\n", "\n    ")},`);
  return `${head}(\n${inner.join("\n")}\n)`;
}

function wrapped(body: string): string {
  return / >> | \| /.test(body) ? `(${body})` : body;
}

function variable(name: string): string {
  return name.replace(/[^A-Za-z0-9_]/g, "_");
}

function text(value: string): string {
  return JSON.stringify(value);
}

/** JSON as Python writes it. */
function literal(json: string): string {
  return json.length > 4_000 ? `${json.slice(0, 4_000)}...` : python(parsedJson(json), json);
}

function python(value: unknown, json: string): string {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return `[${value.map((each) => python(each, "")).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value as object)
      .map(([key, each]) => `${text(key)}: ${python(each, "")}`)
      .join(", ")}}`;
  }
  return value === undefined ? json : String(value);
}
