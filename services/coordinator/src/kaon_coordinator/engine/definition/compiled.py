"""Definitions, indexed once per version for fast decisions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from kaon_coordinator.engine.definition.followers import (
    Selection,
    followers,
    places,
    selection,
)
from kaon_coordinator.engine.definition.servers import needed_by, served_by
from kaon_wire.definitions import conditions
from kaon_wire.definitions.graphs import all_blocks, inner_graphs
from kaon_wire.value_types import has_natives, shape_of
from kaonapi.workflow.v1 import definition_pb2 as d

BODY = d.PHASE_BODY
ON_FAILURE = d.PHASE_ON_FAILURE
FINALLY = d.PHASE_FINALLY

# Rules of hooks beside a block, which start while it goes on.
WATCHING = frozenset(
    {
        d.TRIGGER_RULE_ANY_RUNNING,
        d.TRIGGER_RULE_ANY_RETRIED,
        d.TRIGGER_RULE_ANY_LATE,
    }
)
# Rules of blocks that do not depend on how their predecessors end.
INDEPENDENT = WATCHING | {d.TRIGGER_RULE_ALWAYS}
# Rules under which a block handles whatever becomes of its predecessors, cancels included.
_FORGIVING = frozenset({d.TRIGGER_RULE_ANY_SUCCEEDED, d.TRIGGER_RULE_ALL_DONE})
# Rules under which a block starts after every failure of a predecessor, or itself fails for it.
_HANDLING = _FORGIVING | {d.TRIGGER_RULE_ANY_FAILED}
# What is true of the end of a block that has failed, and of one that was cancelled.
FAILS = frozenset({d.BLOCK_END_KIND_FAILED, d.BLOCK_END_KIND_ENDED})
CANCELS = frozenset({d.BLOCK_END_KIND_ENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStep:
    """What decisions read of a declared step again and again, as plain values: reading a message costs more."""

    # By name, sorted.
    inputs: tuple[tuple[str, d.Binding], ...]
    # What those of them select that are an output of a block, or an element of one.
    selections: Mapping[str, Selection]
    # Names of the outputs, and of those that are floats.
    outputs: frozenset[str]
    floats: frozenset[str]
    tags: tuple[str, ...]
    has_locks: bool
    has_memo: bool
    exclusive: bool
    serves: bool
    # Of an attempt; 0 without a bound.
    timeout_ms: int
    # Whether its block has a time-out or a deadline.
    is_timed: bool
    type: str


@dataclass(frozen=True, kw_only=True)
class CompiledGraph:
    """One graph: its blocks by name in order of first mention, with their predecessors and successors."""

    blocks: Mapping[str, d.Block]
    successors: Mapping[str, tuple[str, ...]]
    predecessors: Mapping[str, tuple[str, ...]]
    # The number of predecessors of each block that has any.
    degrees: Mapping[str, int]
    # The trigger rule of each block; never unspecified.
    rules: Mapping[str, d.TriggerRule.ValueType]
    # The phase of each block; never unspecified.
    phases: Mapping[str, d.Phase.ValueType]
    # The number of blocks in each phase.
    sizes: Mapping[d.Phase.ValueType, int]
    # Blocks whose failure a direct or indirect successor handles.
    handled: frozenset[str]
    # Those whose cancel, too, it handles.
    cancels_handled: frozenset[str]
    # For each other block: the successors that handle its failure unless they are skipped, since others have not failed.
    perhaps_handled: Mapping[str, frozenset[str]]
    # For each block: the successors that handle its cancel unless they are skipped.
    cancels_perhaps_handled: Mapping[str, frozenset[str]]
    # The conditions of the blocks with the rule CONDITION.
    starts: Mapping[str, d.StartCondition]
    # A failure stops nothing that does not come after it.
    finishes: bool
    # By step: the step that may follow it by succession.
    followers: Mapping[str, str]
    # By follower: the step that it may follow.
    leaders: Mapping[str, str]
    # By follower: how many steps may come before it by succession, one after the other.
    places: Mapping[str, int]
    # By block that has any: the paths of the fields of its policies that are known only when it begins, sorted.
    bound: Mapping[str, tuple[tuple[str, d.Binding], ...]]
    # The steps that serve others, each with the blocks that need it: those after it, as far as all before them must have passed.
    servers: Mapping[str, tuple[str, ...]]
    # The steps that serve a block that needs any.
    served_by: Mapping[str, tuple[str, ...]]
    # The steps among the blocks.
    steps: Mapping[str, CompiledStep]
    # The graphs inside each block, by name: "body" of a foreach, repeat or group; "0", "1", ... and "else" of
    # a branch.
    inner: Mapping[str, Mapping[str, CompiledGraph]]


@dataclass(frozen=True, kw_only=True)
class CompiledWorkflow:
    """A workflow version, indexed for decisions."""

    version: str
    definition: d.WorkflowDefinition
    root: CompiledGraph
    # Some block holds locks.
    takes_locks: bool
    # Some step updates datasets.
    makes_datasets: bool
    # For every block: the names of its enclosing blocks, outermost first, and its own name last.
    chains: Mapping[str, tuple[str, ...]]
    # Parameters (under "") and outputs of blocks whose values expressions have as times or durations, by block and name.
    natives: Mapping[tuple[str, str], d.Shape]
    # What the shell keeps for each block, by its name: the part of requests that its instances share.
    kept: dict[str, Any] = field(default_factory=dict, compare=False)
    # Blocks whose policies were known only when they began, by name and values; of steps compiled, too.
    bound: dict[tuple[object, ...], tuple[d.Block, CompiledStep | None]] = field(
        default_factory=dict, compare=False
    )


def compile_workflow(definition: d.WorkflowDefinition, version: str) -> CompiledWorkflow:
    """Index a definition that has passed `validate`."""
    chains: dict[str, tuple[str, ...]] = {}
    finishes = definition.on_error == d.ON_ERROR_FINISH
    root = _compile_graph(definition.body, (), chains, finishes)
    return CompiledWorkflow(
        version=version,
        definition=definition,
        root=root,
        takes_locks=any(block.locks for block in all_blocks(definition.body)),
        makes_datasets=any(block.step.datasets for block in all_blocks(definition.body)),
        chains=chains,
        natives=_natives(definition),
    )


def _natives(definition: d.WorkflowDefinition) -> dict[tuple[str, str], d.Shape]:
    found = {("", each.name): shape_of(each) for each in definition.parameters}
    for block in all_blocks(definition.body):
        found |= {(block.name, each.name): shape_of(each) for each in block.gate.approval.fields}
        for outputs in (block.step.outputs, block.sub_workflow.outputs):
            found |= {(block.name, name): d.Shape(type=kind) for name, kind in outputs.items()}
    return {place: shape for place, shape in found.items() if has_natives(shape)}


def floats_of(declared: Mapping[str, d.ValueType.ValueType]) -> frozenset[str]:
    """Return the names of the outputs that are declared as floats."""
    return frozenset(name for name, kind in declared.items() if kind == d.VALUE_TYPE_FLOAT)


def _compile_graph(
    graph: d.Graph,
    around: tuple[str, ...],
    chains: dict[str, tuple[str, ...]],
    finishes: bool,
) -> CompiledGraph:
    successors: dict[str, list[str]] = {block.name: [] for block in graph.blocks}
    predecessors: dict[str, list[str]] = {name: [] for name in successors}
    for edge in graph.edges:
        successors[edge.source].append(edge.target)
        predecessors[edge.target].append(edge.source)
    inner: dict[str, dict[str, CompiledGraph]] = {}
    for block in graph.blocks:
        chain = (*around, block.name)
        chains[block.name] = chain
        inside = _finishes(block, finishes)
        inner[block.name] = {
            name: _compile_graph(body, chain, chains, inside) for name, body in inner_graphs(block)
        }
    rules = {block.name: block.trigger or d.TRIGGER_RULE_ALL_PASSED for block in graph.blocks}
    phases = {block.name: block.phase or BODY for block in graph.blocks}
    handled = _before_those(predecessors, rules, _HANDLING)
    blocks = {block.name: block for block in graph.blocks}
    starts = {block.name: block.start for block in graph.blocks if block.HasField("start")}
    following = followers(blocks, successors, predecessors, rules, phases)
    return CompiledGraph(
        blocks=blocks,
        successors={name: tuple(targets) for name, targets in successors.items()},
        predecessors={name: tuple(sources) for name, sources in predecessors.items()},
        degrees={name: len(sources) for name, sources in predecessors.items() if sources},
        rules=rules,
        phases=phases,
        sizes={
            phase: sum(each == phase for each in phases.values())
            for phase in (BODY, ON_FAILURE, FINALLY)
        },
        handled=handled,
        cancels_handled=(forgiven := _before_those(predecessors, rules, _FORGIVING)),
        perhaps_handled=_perhaps_handled(predecessors, rules, starts, FAILS, handled),
        cancels_perhaps_handled=_perhaps_handled(predecessors, rules, starts, CANCELS, forgiven),
        starts=starts,
        finishes=finishes,
        followers=following,
        leaders={after: name for name, after in following.items()},
        places=places(following),
        bound={
            block.name: tuple(sorted(block.bound.items(), key=itemgetter(0)))
            for block in graph.blocks
            if block.bound
        },
        servers=(servers := needed_by(blocks, successors, rules)),
        served_by=served_by(servers),
        steps={block.name: compile_step(block) for block in graph.blocks if block.HasField("step")},
        inner=inner,
    )


def compile_step(block: d.Block) -> CompiledStep:
    """Compile a declared step."""
    step = block.step
    selected = {name: selection(binding) for name, binding in step.inputs.items()}
    return CompiledStep(
        inputs=tuple(sorted(step.inputs.items())),
        selections={name: each for name, each in selected.items() if each is not None},
        outputs=frozenset(step.outputs),
        floats=floats_of(step.outputs),
        tags=tuple(sorted(set(step.tags))),
        has_locks=bool(block.locks),
        has_memo=step.memo.enabled,
        exclusive=step.exclusive,
        serves=step.serves,
        timeout_ms=step.timeout_ms,
        is_timed=bool(block.timeout_ms or block.deadline_ms),
        type=step.type,
    )


def _finishes(block: d.Block, around: bool) -> bool:
    """Tell whether a failure inside a block stops nothing that does not come after it."""
    kind = block.WhichOneof("kind")
    own = getattr(block, kind).on_error if kind in {"group", "for_each"} else d.ON_ERROR_UNSPECIFIED
    return around if own == d.ON_ERROR_UNSPECIFIED else own == d.ON_ERROR_FINISH


def _before_those(
    predecessors: Mapping[str, list[str]],
    rules: Mapping[str, d.TriggerRule.ValueType],
    wanted: Collection[d.TriggerRule.ValueType],
) -> frozenset[str]:
    """Return all direct and indirect predecessors of the blocks with one of the rules."""
    return _all_before(predecessors, rules, (name for name in rules if rules[name] in wanted))


def _all_before(
    predecessors: Mapping[str, list[str]],
    rules: Mapping[str, d.TriggerRule.ValueType],
    names: Iterable[str],
) -> frozenset[str]:
    """Return all direct and indirect predecessors of blocks, as far as blocks depend on their predecessors."""
    return _behind(predecessors, rules, (before for name in names for before in predecessors[name]))


def _behind(
    predecessors: Mapping[str, list[str]],
    rules: Mapping[str, d.TriggerRule.ValueType],
    names: Iterable[str],
) -> frozenset[str]:
    """Return blocks and all their predecessors, as far as blocks depend on their predecessors."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += predecessors[name] if rules[name] not in INDEPENDENT else ()
    return frozenset(found)


def _perhaps_handled(
    predecessors: Mapping[str, list[str]],
    rules: Mapping[str, d.TriggerRule.ValueType],
    starts: Mapping[str, d.StartCondition],
    kinds: Collection[d.BlockEndKind.ValueType],
    handled: frozenset[str],
) -> Mapping[str, frozenset[str]]:
    """Return for blocks the successors that may start although they have ended so that only `kinds` are true of them."""
    found: dict[str, set[str]] = {}
    for name, rule in rules.items():
        if rule == d.TRIGGER_RULE_ALL_FAILED and kinds is FAILS:
            direct = predecessors[name]
        elif rule == d.TRIGGER_RULE_CONDITION:
            direct = [each for each in predecessors[name] if _allows(starts[name], each, kinds)]
        else:
            continue
        for before in _behind(predecessors, rules, direct) - handled:
            found.setdefault(before, set()).add(name)
    return {name: frozenset(handlers) for name, handlers in found.items()}


def _allows(
    condition: d.StartCondition, name: str, kinds: Collection[d.BlockEndKind.ValueType]
) -> bool:
    """Tell whether a condition may hold when only `kinds` are true of the end of a block."""

    def ended(end: d.BlockEnd) -> bool | None:
        return end.kind in kinds if end.block == name else None

    return conditions.holds(condition, ended) is not False
