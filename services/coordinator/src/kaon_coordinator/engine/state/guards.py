"""Guarded gates: those that only some people may answer, and every way past them.

Who may not answer a gate may not settle it by hand either, nor what is around it, nor what comes after it as long as it
has not been passed. What a sub-workflow calls counts as inside of its block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from kaon_coordinator.engine.definition.compiled import INDEPENDENT, CompiledWorkflow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_blocked
from kaon_coordinator.engine.state.state import BlockState, Node, RunState
from kaon_wire import canonical
from kaon_wire.definitions.graphs import all_blocks, inner_graphs
from kaonapi.workflow.v1 import definition_pb2 as d

# Returns the definition that a sub-workflow calls, or None when there is none.
Called = Callable[[d.SubWorkflow], d.WorkflowDefinition | None]


# The policy that says which workflow a sub-workflow runs, and who may settle one before that is known.
_WORKFLOW = "sub_workflow.workflow"
_ADMINS = ("platform-admin", "tenant-admin")


@dataclass(frozen=True, kw_only=True)
class Answerer:
    """Somebody who wants to answer a gate, or to get past it."""

    name: str
    roles: frozenset[str]

    def lacks(self, gate: d.Gate, submitter: str) -> str:
        """Return why this person may not answer a gate of a run of `submitter`; empty when nothing is in the way."""
        named = set(roles_of(gate))
        if named and not self.roles & named:
            return f"needs one of the roles {', '.join(sorted(named))}"
        if gate.approval.not_submitter and self.name == submitter:
            return f"needs somebody else than {submitter}, who submitted the run"
        return ""


def roles_of(gate: d.Gate) -> list[str]:
    """Return the roles that a gate names."""
    return list(gate.signal.roles if gate.HasField("signal") else gate.approval.roles)


def is_guarded(block: d.Block) -> bool:
    """Tell whether a block is a gate that not everybody may answer."""
    gate = block.gate
    return block.HasField("gate") and bool(roles_of(gate) or gate.approval.not_submitter)


def guarded_in(blocks: Iterable[d.Block], called: Called) -> Iterator[d.Block]:
    """Yield the guarded gates among blocks, inside of them, and in the workflows that they call."""
    seen: set[str] = set()
    waiting = list(blocks)
    while waiting:
        block = waiting.pop()
        if is_guarded(block):
            yield block
        elif _WORKFLOW in block.bound:
            yield _unknown(block)
        elif block.HasField("sub_workflow"):
            key = f"{block.sub_workflow.workflow}:{block.sub_workflow.version}"
            definition = None if key in seen else called(block.sub_workflow)
            seen.add(key)
            waiting += [] if definition is None else definition.body.blocks
        else:
            waiting += [each for _, graph in inner_graphs(block) for each in graph.blocks]


def _unknown(block: d.Block) -> d.Block:
    """Return a gate for whatever gates a workflow may have that is known only at run time."""
    return d.Block(name=block.name, gate=d.Gate(approval=d.Approval(roles=_ADMINS)))


def settled_with(targets: Iterable[Node], called: Called) -> Iterator[d.Block]:
    """Yield the guarded gates that are settled with nodes that are settled by hand: themselves, and those inside of them."""
    return guarded_in((node.block for node in targets), called)


def ahead_of(targets: Iterable[Node], called: Called) -> Iterator[d.Block]:
    """Yield the guarded gates that have not been passed and after which the nodes come."""
    seen: set[str] = set()
    waiting = list(targets)
    while waiting:
        node = waiting.pop()
        if node.path in seen:
            continue
        seen.add(node.path)
        scope = node.scope
        rule = scope.graph.rules[node.block.name]
        names = scope.graph.predecessors[node.block.name]
        for name in names if rule not in INDEPENDENT else ():
            before = scope.nodes[name]
            if before.status not in t.PASSED or is_blocked(before):
                yield from guarded_in([before.block], called)
                waiting.append(before)
        if scope.parent is not None:
            waiting.append(scope.parent)


def kept_answers(
    state: RunState, reset: Mapping[str, Node], called: Called
) -> Iterator[tuple[d.Block, str]]:
    """Yield the guarded gates that a fork takes over as passed, each with who answered it, if that is known."""
    for node in state.blocks.values():
        if node.status == t.SUCCEEDED and not _is_reset(node, reset):
            by = canonical.loads(node.outputs.get("by", '""')) if node.kind == "gate" else ""
            if node.kind in {"gate", "sub_workflow"}:
                yield from ((gate, by) for gate in guarded_in([node.block], called))


def _is_reset(node: BlockState, reset: Mapping[str, Node]) -> bool:
    around: BlockState | None = node
    while around is not None:
        if around.path in reset:
            return True
        around = around.scope.parent
    return False


def left_behind(old: CompiledWorkflow, new: CompiledWorkflow, called: Called) -> Iterator[d.Block]:
    """Yield the guarded gates of a version that another version lacks, guards less, or has elsewhere."""
    later = {block.name: block for block in all_blocks(new.definition.body)}
    for block in all_blocks(old.definition.body):
        if block.WhichOneof("kind") not in {"gate", "sub_workflow"}:
            continue
        same = later.get(block.name, d.Block())
        stays = same.gate == block.gate and same.sub_workflow == block.sub_workflow
        stays = stays and same.bound.get(_WORKFLOW) == block.bound.get(_WORKFLOW)
        stays = stays and (block.optional or not same.optional)
        if not stays or not _after(old, block.name) <= _after(new, block.name):
            yield from guarded_in([block], called)


def _after(workflow: CompiledWorkflow, name: str) -> set[str]:
    """Return the names of all blocks that come after one: those behind it and behind what is around it, with what is inside."""
    found: set[str] = set()
    graph = workflow.root
    chain = workflow.chains[name]
    for depth, around in enumerate(chain):
        waiting = list(graph.successors[around])
        while waiting:
            after = waiting.pop()
            if after not in found and graph.rules[after] not in INDEPENDENT:
                alone = d.Graph(blocks=[graph.blocks[after]])
                found |= {each.name for each in all_blocks(alone)}
                waiting += graph.successors[after]
        if depth + 1 < len(chain):
            inner = graph.inner[around].values()
            graph = next(each for each in inner if chain[depth + 1] in each.blocks)
    return found
