"""Succession: the chain of steps that a runner may start by itself, each after the success of the one before.

Nothing is decided here about a step's start. The generation of a step that follows another one belongs to one
accepted success of its leader, so that a runner can know it in advance; see docs/decisions/0031-succession.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.definition.followers import Selection, selection
from kaon_coordinator.engine.messages import Lease
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.state import Node, RunState, ScopeState, StepState
from kaon_wire.errors import KaonError
from kaon_wire.successions import LONGEST_CHAIN, element, inputs_digest
from kaonapi.workflow.v1 import definition_pb2 as d

# Which of the steps that follow one another lets a chain go on before it ends: the fourth, and then every eighth.
RENEWED_FIRST = LONGEST_CHAIN // 4
RENEWED_EVERY = LONGEST_CHAIN // 2
# Steps of a chain that goes on, including the one that is at work. With these a runner has as many left at each such step as at
# the first one.
LONGEST_EXTENSION = LONGEST_CHAIN - RENEWED_FIRST + RENEWED_EVERY


@dataclass(frozen=True, kw_only=True, slots=True)
class FromChain:
    """An input that is an output of an earlier step of the chain."""

    # 0 is the step that is requested, 1 its first follower.
    member: int
    chosen: Selection


@dataclass(frozen=True, kw_only=True, slots=True)
class Follower:
    """A step that may follow, with the inputs that are known now and those that are not."""

    step: StepState
    known: Mapping[str, str]
    later: Mapping[str, FromChain]


def leader_of(step: StepState) -> StepState | None:
    """Return the step that this one may follow, if there is one."""
    name = step.scope.graph.leaders.get(step.block.name)
    node = step.scope.nodes.get(name) if name is not None else None
    return node if isinstance(node, StepState) else None


def leads(step: StepState) -> bool:
    """Tell whether another step may follow this one."""
    return step.block.name in step.scope.graph.followers


def next_generation(decision: Decision, step: StepState) -> int:
    """Return the generation under which a step becomes READY now.

    That of its leader, when the leader's success is what is being decided; else one above all generations of the step,
    of its leader and of the steps that may follow it.
    """
    graph, name = step.scope.graph, step.block.name
    if name not in graph.leaders and name not in graph.followers:
        return step.generation + 1
    leader = leader_of(step)
    highest = max((each.generation for each in _after(step, LONGEST_CHAIN)), default=0)
    highest = max(highest, step.generation)
    if leader is not None:
        if leader.path == decision.succeeded and leader.generation > highest:
            return leader.generation
        highest = max(highest, leader.generation)
    return highest + 1


def may_hold(step: StepState, lease: Lease) -> bool:
    """Tell whether the runner of a lease may become the holder of a READY step.

    A runner that began the step by itself must have held its leader when that succeeded, and have bound the inputs that
    the step has.
    """
    if not lease.succession:
        return True
    leader = leader_of(step)
    return (
        leader is not None
        and leader.status == t.SUCCEEDED
        and leader.incarnation == lease.incarnation
        and lease.succession == inputs_digest(step.inputs)
    )


def chain_after(state: RunState, step: StepState) -> list[Follower]:
    """Return the steps that may follow one after the other, as things stand: more of them after a step that is at work."""
    chain: list[Follower] = []
    members = {step.block.name: 0}
    for following in _after(step, LONGEST_CHAIN if step.status == t.READY else LONGEST_EXTENSION):
        if (
            following.status != t.PENDING
            or following.begun
            or following.generation >= step.generation
            or following.block.name in state.left_out
            or state.breaks(following)
        ):
            break
        follower = _bind(state, following, members)
        if follower is None:
            break
        chain.append(follower)
        members[following.block.name] = len(members)
    return chain


def is_renewal_due(step: StepState) -> bool:
    """Tell whether a runner that begins this step by itself is to get the steps that may follow it.

    Wherever its chain began, it has now at least seven more, mostly eleven, or all that come.
    """
    place = step.scope.graph.places.get(step.block.name, 0)
    if place < RENEWED_FIRST or (place - RENEWED_FIRST) % RENEWED_EVERY:
        return False
    return sum(1 for _ in _after(step, LONGEST_CHAIN)) >= LONGEST_CHAIN - RENEWED_FIRST


def is_followed(step: StepState, name: str, path: str) -> bool:
    """Tell whether a step of this name or path may follow a step by succession."""
    return leads(step) and any(
        path == each.path or name == each.block.name for each in _after(step, LONGEST_EXTENSION)
    )


def _after(step: StepState, length: int) -> Iterator[StepState]:
    """Yield the steps that may follow one after the other: with the given one at most as many as `length`."""
    scope, name = step.scope, step.block.name
    followers = scope.graph.followers
    for _ in range(length - 1):
        following = followers.get(name)
        if following is None:
            return
        node = scope.nodes[following]
        assert isinstance(node, StepState)
        yield node
        name = following


def _bind(state: RunState, step: StepState, members: Mapping[str, int]) -> Follower | None:
    """Bind the inputs of a follower; None when one of them cannot be said yet."""
    known: dict[str, str] = {}
    later: dict[str, FromChain] = {}
    for name, binding in step.spec.inputs:
        chosen = step.spec.selections.get(name)
        if chosen is not None and chosen.reference.step in members:
            later[name] = FromChain(member=members[chosen.reference.step], chosen=chosen)
        elif not _is_settled(state, step.scope, binding, chosen):
            return None
        else:
            try:
                known[name] = _value(state, step.scope, binding, chosen)
            except KaonError:
                # The step fails by it when its turn comes.
                return None
    return Follower(step=step, known=known, later=later)


def _value(state: RunState, scope: ScopeState, binding: d.Binding, chosen: Selection | None) -> str:
    if chosen is None:
        return resolve(state, scope, binding, _never)
    value = resolve(state, scope, d.Binding(output=chosen.reference), _never)
    return element(value, chosen.keys)


def _never(expression: str, variables: object) -> object:
    raise AssertionError(f"{expression!r} over {variables!r} is no plain reference")


def _are_settled(state: RunState, scope: ScopeState, bindings: Iterable[d.Binding]) -> bool:
    return all(_is_settled(state, scope, each, selection(each)) for each in bindings)


def _is_settled(
    state: RunState, scope: ScopeState, binding: d.Binding, chosen: Selection | None
) -> bool:
    """Tell whether a binding, which may select an output, refers to nothing that has still to end."""
    if chosen is not None:
        source = _source(state, scope, chosen.reference.step)
        return source is not None and source.status in t.TERMINAL
    match binding.WhichOneof("source"):
        case "expression":
            return False
        case "list":
            return _are_settled(state, scope, binding.list.bindings)
        case "map":
            return _are_settled(state, scope, binding.map.bindings.values())
        case "last":
            return _are_settled(state, scope, [binding.last.fallback])
        case "block_outcome":
            source = _source(state, scope, binding.block_outcome.block)
            return source is not None and source.status in t.TERMINAL
    return True


def _source(state: RunState, scope: ScopeState, name: str) -> Node | None:
    """Return the node of an enclosing scope that is, or contains, a block; None when there is none."""
    chain = state.workflow.chains.get(name, ())
    around: ScopeState | None = scope
    while around is not None:
        for each in chain:
            if each in around.nodes:
                return around.nodes[each]
        around = around.parent.scope if around.parent is not None else None
    return None
