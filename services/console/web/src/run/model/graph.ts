/** The definition of a workflow as a tree of scopes: what is drawn, whatever has run. Edges never leave their scope. */

import { counted } from "../../common/text";
import {
  type Binding,
  type Block,
  BlockEndKind,
  type Graph,
  OnError,
  OutcomeField,
  Phase,
  type Repeat,
  type StartCondition,
  type SubWorkflow,
  TriggerRule,
  type WorkflowDefinition,
} from "../../gen/kaonapi/workflow/v1/definition_pb";

export type NodeKind = "step" | "forEach" | "repeat" | "branch" | "group" | "subWorkflow" | "gate";

export interface GraphNode {
  /** Unique in the whole drawing: of a node within a sub-workflow, after the name of that: "train > fit". */
  readonly name: string;
  /** What is read: its name in its own workflow. */
  readonly label: string;
  /** The name of the sub-workflow in whose own run it is; "" in the run itself. */
  readonly within: string;
  readonly kind: NodeKind;
  /** What stands under the name: a step's type, a foreach's item, a gate's question. */
  readonly detail: string;
  readonly phase: "body" | "onFailure" | "finally";
  /** Why it may start although something before it failed; "" for the usual rule. */
  readonly trigger: string;
  /** The scopes inside: one of a foreach, repeat or group; one for each way of a branch. */
  readonly scopes: readonly GraphScope[];
  readonly depth: number;
  readonly parent: GraphNode | undefined;
  readonly block: Block;
}

export interface GraphScope {
  /** The name of the node, and of a branch's way: "choose", "choose=0". */
  readonly id: string;
  readonly label: string;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

export interface GraphEdge {
  readonly source: string;
  readonly target: string;
}

export interface GraphModel {
  readonly root: GraphScope;
  readonly byName: ReadonlyMap<string, GraphNode>;
  /** The definition has more nodes than are drawn: those that are left out. */
  readonly omitted: number;
  /** The node around which a part is drawn; "": the part is the beginning. */
  readonly around: string;
}

/** Nodes that are drawn at most; the rest of a larger definition is counted, said, and drawn when it is looked for. */
export const NODE_LIMIT = 2_000;

/** By name of a sub-workflow that is open: what is in it. */
export type Inner = ReadonlyMap<string, WorkflowDefinition>;

/** The name in the drawing of what is in a sub-workflow, which no block can have itself. */
export function nameWithin(within: string, name: string): string {
  return within === "" ? name : `${within} > ${name}`;
}

/** Of a definition with more nodes than the limit a part is drawn: its beginning, or what is around a node. */
export function graphModel(
  definition: WorkflowDefinition,
  limit = NODE_LIMIT,
  inner: Inner = new Map(),
  around = "",
): GraphModel {
  const builder = new Builder(limit, inner, around === "" ? [] : (wayTo(definition.body, around) ?? []));
  const root = builder.scope("", "", definition.body, undefined, "");
  return { root, byName: builder.byName, omitted: builder.omitted, around };
}

/** The graphs that stand right inside of a block of the definition. */
function graphsIn({ kind }: Block): Graph[] {
  switch (kind.case) {
    case "forEach":
    case "repeat":
    case "group":
      return kind.value.body ? [kind.value.body] : [];
    case "branch":
      return [...kind.value.cases.map((way) => way.body), kind.value.otherwise].filter((body) => body !== undefined);
    default:
      return [];
  }
}

/** The names of all blocks of a definition, outer ones first. */
export function blockNames(definition: WorkflowDefinition): string[] {
  const graphs = definition.body ? [definition.body] : [];
  const names: string[] = [];
  for (let at = 0; at < graphs.length; at++) {
    for (const block of graphs[at]!.blocks) {
      names.push(block.name);
      graphs.push(...graphsIn(block));
    }
  }
  return names;
}

/** The names of the blocks that lead to one, with its own; undefined when there is none of that name. */
function wayTo(graph: Graph | undefined, name: string): string[] | undefined {
  for (const block of graph?.blocks ?? []) {
    if (block.name === name) return [name];
    for (const inside of graphsIn(block)) {
      const rest = wayTo(inside, name);
      if (rest !== undefined) return [block.name, ...rest];
    }
  }
  return undefined;
}

/** So many of those that stand before the wanted node in its scope are drawn with it before those that come after it. */
const BEFORE = 10;

/** The places of a list in the order in which they count: one of them, a few before it, all after it, the rest. */
function nearest(count: number, wanted: number): number[] {
  if (wanted < 0) return Array.from({ length: count }, (_, at) => at);
  const before = Array.from({ length: wanted }, (_, at) => wanted - 1 - at);
  const after = Array.from({ length: count - wanted - 1 }, (_, at) => wanted + 1 + at);
  return [wanted, ...before.slice(0, BEFORE), ...after, ...before.slice(BEFORE)];
}

/** How many blocks stand inside of one. */
function insideCount(block: Block): number {
  return graphsIn(block)
    .flatMap((graph) => graph.blocks)
    .reduce((sum, inner) => sum + 1 + insideCount(inner), 0);
}

class Builder {
  readonly byName = new Map<string, GraphNode>();
  omitted = 0;

  constructor(
    private readonly limit: number,
    private readonly inner: Inner,
    /** The blocks that lead to the node around which a part is drawn. */
    private readonly way: readonly string[],
  ) {}

  scope(
    id: string,
    label: string,
    graph: Graph | undefined,
    parent: GraphNode | undefined,
    within: string,
  ): GraphScope {
    const blocks = graph?.blocks ?? [];
    const wanted = this.way.length === 0 ? -1 : blocks.findIndex((block) => this.way.includes(block.name));
    const found: [number, GraphNode][] = [];
    for (const at of nearest(blocks.length, wanted)) {
      const block = blocks[at] as Block;
      if (this.byName.size >= this.limit) this.omitted += 1 + insideCount(block);
      else found.push([at, this.node(block, parent, within)]);
    }
    const nodes = found.sort(([one], [other]) => one - other).map(([, node]) => node);
    const here = new Set(nodes.map((node) => node.label));
    const edges = (graph?.edges ?? [])
      .filter((edge) => here.has(edge.source) && here.has(edge.target))
      .map((edge) => ({ source: nameWithin(within, edge.source), target: nameWithin(within, edge.target) }));
    return { id, label, nodes, edges };
  }

  private node(block: Block, parent: GraphNode | undefined, within: string): GraphNode {
    const scopes: GraphScope[] = [];
    const node: GraphNode = {
      name: nameWithin(within, block.name),
      label: block.name,
      within,
      kind: (block.kind.case ?? "step") as NodeKind,
      detail: detailOf(block),
      phase: phaseOf(block.phase),
      trigger: block.start === undefined ? triggerOf(block.trigger) : startText(block.start),
      scopes,
      depth: parent === undefined ? 0 : parent.depth + 1,
      parent,
      block,
    };
    this.byName.set(node.name, node);
    scopes.push(...this.inside(block, node));
    return node;
  }

  private inside(block: Block, node: GraphNode): GraphScope[] {
    const kind = block.kind;
    switch (kind.case) {
      case "forEach":
      case "repeat":
      case "group":
        return [this.scope(node.name, "", kind.value.body, node, node.within)];
      case "subWorkflow": {
        const opened = this.inner.get(node.name);
        return opened === undefined ? [] : [this.scope(node.name, "", opened.body, node, node.name)];
      }
      case "branch": {
        const ways = kind.value.cases.map((way, index) =>
          this.scope(`${node.name}=${index}`, conditionText(way.condition), way.body, node, node.within),
        );
        const otherwise = kind.value.otherwise;
        if (otherwise !== undefined)
          ways.push(this.scope(`${node.name}=else`, "otherwise", otherwise, node, node.within));
        return ways;
      }
      default:
        return [];
    }
  }
}

function phaseOf(phase: Phase): GraphNode["phase"] {
  if (phase === Phase.ON_FAILURE) return "onFailure";
  return phase === Phase.FINALLY ? "finally" : "body";
}

function triggerOf(rule: TriggerRule): string {
  return TRIGGERS[rule] ?? "";
}

const TRIGGERS: Partial<Record<TriggerRule, string>> = {
  [TriggerRule.ANY_SUCCEEDED]: "any succeeded",
  [TriggerRule.ALL_DONE]: "all done",
  [TriggerRule.ALL_SUCCEEDED]: "all succeeded",
  [TriggerRule.ANY_FAILED]: "any failed",
  [TriggerRule.ALL_FAILED]: "all failed",
  [TriggerRule.ALWAYS]: "always",
  [TriggerRule.ANY_RUNNING]: "on running",
  [TriggerRule.ANY_RETRIED]: "on retry",
  [TriggerRule.ANY_LATE]: "on late",
};

/** A start condition in words: "load succeeded and (a failed or b succeeded)". */
function startText(of: StartCondition): string {
  const kind = of.kind;
  if (kind.case === undefined) return "";
  if (kind.case === "end") return `${kind.value.block} ${BlockEndKind[kind.value.kind].toLowerCase()}`;
  return kind.value.conditions
    .map((each) => (each.kind.case === "end" ? startText(each) : `(${startText(each)})`))
    .join(kind.case === "all" ? " and " : " or ");
}

/** The failure policy of a foreach or group, after its other details. */
function policyOf(policy: OnError): string {
  if (policy === OnError.FINISH) return "others finish after a failure";
  return policy === OnError.FAIL ? "a failure stops all" : "";
}

function detailOf(block: Block): string {
  const kind = block.kind;
  const policy = kind.case === "forEach" || kind.case === "group" ? policyOf(kind.value.onError) : "";
  return [kindDetail(block), policy, block.optional ? "optional" : ""].filter(Boolean).join(", ");
}

function kindDetail(block: Block): string {
  const kind = block.kind;
  switch (kind.case) {
    case "step":
      return kind.value.type;
    case "forEach":
      return forEachDetail(kind.value.item, kind.value.sweep !== undefined, kind.value.maxConcurrency);
    case "repeat":
      return `${loopText(kind.value)}, at most ${kind.value.maxIterations || "as many as the run says"}`;
    case "subWorkflow":
      return kind.value.detached ? `${calledText(kind.value)}, not waited for` : calledText(kind.value);
    case "gate":
      return gateDetail(kind.value.kind);
    case "branch":
      return counted(kind.value.cases.length + (kind.value.otherwise === undefined ? 0 : 1), "way");
    default:
      return "";
  }
}

function calledText(called: SubWorkflow): string {
  return called.workflow || "a workflow that the run names";
}

function loopText(loop: Repeat): string {
  return loop.asLongAs ? `while ${conditionText(loop.asLongAs)}` : `until ${conditionText(loop.until)}`;
}

function forEachDetail(item: string, sweep: boolean, concurrency: number): string {
  const what = sweep ? `each ${item} of a search space` : `each ${item}`;
  return concurrency > 0 ? `${what}, ${concurrency} at once` : what;
}

function gateDetail(kind: { case: string | undefined; value?: unknown }): string {
  const value = kind.value as { message?: string; name?: string; workflow?: string } | undefined;
  if (kind.case === "approval") return value?.message || "approval";
  if (kind.case === "run") return `last run of ${value?.workflow}`;
  return kind.case === "signal" ? `signal ${value?.name}` : (kind.case ?? "gate");
}

/** A binding in the words of the language: `check["good"]`, `score > 0.9`. */
export function conditionText(binding: Binding | undefined): string {
  const source = binding?.source;
  switch (source?.case) {
    case "literalJson":
    case "parameter":
    case "item":
      return source.value;
    case "output":
      return `${source.value.step}.${source.value.output}`;
    case "last":
      return `last ${source.value.output?.step}.${source.value.output?.output}`;
    case "expression":
      return source.value.cel;
    case "list":
      return `[${source.value.bindings.map(conditionText).join(", ")}]`;
    case "map":
      return `{${Object.entries(source.value.bindings)
        .map(([key, value]) => `${key}: ${conditionText(value)}`)
        .join(", ")}}`;
    case "outcome":
      return "outcome";
    case "blockOutcome":
      return `${OutcomeField[source.value.field].toLowerCase().replace("_", " ")} of ${source.value.block}`;
    case "runInfo":
      return "run";
    default:
      return "";
  }
}
