"""A fork that goes on with another version of its workflow: what it keeps, and what does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.definition.compiled import CompiledGraph, CompiledWorkflow
from kaon_coordinator.engine.definition.differences import Difference, differences, names
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.scopes.readiness import had_turn
from kaon_coordinator.engine.scopes.scopes import nodes_at
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.adopting import inner_graph, is_replaced
from kaon_coordinator.engine.state.resetting import (
    Plan,
    is_fresh,
    opening,
    plan,
    plan_opening,
)
from kaon_coordinator.engine.state.state import BlockState, Node, RunState, ScopeState
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Something that the fork would keep, and that the new version does not allow."""

    path: str
    # Completes "PATH ...".
    reason: str


@dataclass(kw_only=True)
class Change:
    """What a change to another version does to a state."""

    plan: Plan
    # What is reset because it does not fit, although nobody asked for that.
    misfits: list[Misfit] = field(default_factory=list)


def change(decision: Decision) -> None:
    """Change a submitted fork to its own version of the workflow. What does not fit it begins anew."""
    state = decision.state
    assert state.into is not None
    chosen: list[Node] = []
    for path in state.fork_reset:
        found = nodes_at(state, path)
        chosen += [node for node in found if had_turn(node)]
        if not found:
            refuse(decision, "fork", path, "there was no such step, block or cell", state.submitter)
    old, new = set(names(state.workflow)), set(names(state.into))
    decision.emit(
        definition_changed=history_pb2.DefinitionChanged(
            from_version=state.workflow.version,
            to_version=state.into.version,
            paths=study(state, state.into, chosen).plan.paths,
            added=[place[-1] for place in names(state.into) if place not in old],
            removed=[place[-1] for place in names(state.workflow) if place not in new],
        )
    )


def study(state: RunState, into: CompiledWorkflow, chosen: Iterable[Node]) -> Change:
    """Determine what is reset when a state is put under another version and the chosen nodes begin anew.

    A node that does not fit begins anew with everything after it, which may make others not fit.
    """
    study = _Study(different=differences(state.workflow, into), targets=list(chosen))
    misfits: list[Misfit] = []
    while True:
        study.plan = study.planned()
        found = list(study.scope(state.root, into.root))
        if not found:
            return Change(plan=study.plan, misfits=misfits)
        for each in found:
            study.targets += [] if each.node is None else [each.node]
            study.openings += [] if each.opens is None else [each.opens]
            if each.reason:
                misfits.append(Misfit(path=each.path, reason=each.reason))


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Something that must begin anew: a node, or a scope from a phase on. With a reason, a misfit."""

    path: str
    node: Node | None = None
    opens: tuple[ScopeState, d.Phase.ValueType] | None = None
    reason: str = ""


@dataclass(kw_only=True)
class _Study:
    different: Mapping[str, Difference]
    # What begins anew, nodes and scopes.
    targets: list[Node]
    openings: list[tuple[ScopeState, d.Phase.ValueType]] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)

    def planned(self) -> Plan:
        result = plan(self.targets)
        for scope, phase in self.openings:
            plan_opening(result, scope, phase)
        return result

    def scope(self, scope: ScopeState, graph: CompiledGraph) -> Iterator[_Found]:
        """Return what must begin anew in a scope and is not planned yet."""
        if not scope.nodes:
            return
        for node in scope.nodes.values():
            if node.path not in self.plan.nodes:
                yield from self._node(node, graph)
        for name in graph.blocks:
            node_ = scope.nodes.get(name)
            if node_ is None or is_replaced(node_, graph):
                yield from self._new(scope, graph, name)

    def _node(self, node: Node, graph: CompiledGraph) -> Iterator[_Found]:
        name = node.block.name
        cells = isinstance(node, BlockState) and bool(node.cells)
        keeps = node.status == t.SUCCEEDED or cells
        if name not in graph.blocks:
            if node.status not in t.PASSED and not is_fresh(node):
                yield _Found(path=node.path, node=node)
            return
        difference = self.different.get(name)
        if difference is not None and (keeps or (difference.replaced and not is_fresh(node))):
            reason = f"{difference.what} in the new version" if keeps else ""
            yield _Found(path=node.path, node=node, reason=reason)
        elif keeps and (earlier := self._new_before(node, graph)):
            reason = f"comes after {earlier} in the new version, which has not run"
            yield _Found(path=node.path, node=node, reason=reason)
        elif isinstance(node, BlockState):
            yield from self._cells(node, graph)

    def _cells(self, block: BlockState, graph: CompiledGraph) -> Iterator[_Found]:
        inner = inner_graph(graph, block)
        for cell in block.cells.values():
            if inner is None:
                reason = f"has taken its case {block.case}, which the new version lacks"
                yield _Found(path=block.path, node=block, reason=reason)
            elif cell.key not in self.plan.cells:
                yield from self.scope(cell, inner)

    def _new_before(self, node: Node, graph: CompiledGraph) -> str:
        """Return a node that comes before a kept one in the new version only, and that begins after it."""
        scope, name = node.scope, node.block.name
        known = scope.graph.predecessors[name]
        for earlier in graph.predecessors[name]:
            before = scope.nodes.get(earlier)
            ended = before is not None and before.status in t.TERMINAL
            if earlier not in known and (
                not ended or before is None or before.path in self.plan.nodes
            ):
                return earlier
        return ""

    def _new(self, scope: ScopeState, graph: CompiledGraph, name: str) -> Iterator[_Found]:
        """Return the scope when a node that is new in it could not begin."""
        phase = opening(scope, graph, name)
        if phase is None or self.plan.phases.get(scope.key, phase + 1) <= phase:
            return
        inner, ended = scope.parent is not None, scope.status in t.TERMINAL
        reason = f"has ended, and {name} is new in it" if inner and ended else ""
        yield _Found(path=scope.key, opens=(scope, phase), reason=reason)
