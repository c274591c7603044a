"""Turns a body as it was written into scopes: graphs of named blocks, nested sequences and parallels flattened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from kaon.dsl.blocks import (
    Block,
    Branch,
    ForEach,
    Group,
    Parallel,
    Part,
    Repeat,
    Sequence,
    Triggered,
    Watched,
    unwrapped,
)
from kaon.dsl.checks import limits
from kaon.dsl.conditions import Condition
from kaon.dsl.errors import WorkflowError
from kaonapi.workflow.v1 import definition_pb2 as d

BODY, ON_FAILURE, FINALLY = d.PHASE_BODY, d.PHASE_ON_FAILURE, d.PHASE_FINALLY
# Rules of blocks that need not wait for the end of those before them.
_AT_ONCE = frozenset(
    {
        d.TRIGGER_RULE_ALWAYS,
        d.TRIGGER_RULE_ANY_RUNNING,
        d.TRIGGER_RULE_ANY_RETRIED,
        d.TRIGGER_RULE_ANY_LATE,
    }
)
_PHASES = {BODY: "the body", ON_FAILURE: "on_failure", FINALLY: "finally_"}


@dataclass(eq=False, kw_only=True)
class Scope:
    """One graph: its blocks in the order of their first mention, and who comes before whom."""

    # The place of the block that this scope is the body of; None for the outermost.
    holder: Place | None
    places: dict[Block, Place] = field(default_factory=dict)
    edges: set[tuple[Block, Block]] = field(default_factory=set)
    # For each block, as a bit set over the order of `places`: what surely has succeeded before it starts.
    before: dict[Block, int] = field(default_factory=dict)

    def precedes(self, first: Block, second: Block) -> bool:
        """Whether there is a path from `first` to `second`, or `second` is a hook of a later phase."""
        if self.places[first].phase != self.places[second].phase:
            return self.places[first].phase < self.places[second].phase
        return bool(self.before[second] >> self.places[first].index & 1)


@dataclass(eq=False, kw_only=True)
class Place:
    """Where a block stands."""

    block: Block
    scope: Scope
    # Position in the scope's order.
    index: int
    phase: d.Phase.ValueType
    # When it starts; None means when all before it have succeeded or were skipped.
    trigger: Triggered | None = None
    # Its failure is settled here.
    optional: bool = False
    name: str = ""
    # The block's bodies: one of a foreach, repeat or group, one for each way of a branch (`otherwise` last).
    bodies: list[Scope] = field(default_factory=list)

    def chain(self) -> list[Place]:
        """Return the places around this one, outermost first, itself last."""
        chain = [self]
        while (holder := chain[-1].scope.holder) is not None:
            chain.append(holder)
        return chain[::-1]


def build(body: Part) -> Scope:
    """Build the scopes of a body, checked for cycles, with a name for every block.

    Raises:
        WorkflowError: a cycle, or a name used twice.
    """
    root = _scope(body, None, limits().nesting_depth)
    _name(list(walk(root)))
    for scope in {place.scope: None for place in walk(root)}:
        _order(scope)
    return root


def walk(scope: Scope) -> Iterator[Place]:
    """Every place of a scope and of those in it, each before what it holds, in the order of mention."""
    for place in scope.places.values():
        yield place
        for body in place.bodies:
            yield from walk(body)


def _scope(body: Part, holder: Place | None, depth: int) -> Scope:
    """Build the scope of a body, in which there may be further ones down to `depth`."""
    if holder is not None and depth < 0:
        raise WorkflowError(
            f"{holder.block.label} is nested deeper than the limit nesting_depth of {limits().nesting_depth}",
            holder.block.source,
        )
    scope = Scope(holder=holder)
    body = unwrapped(body)
    if isinstance(body, Group) and not body.explicit:
        _flatten(body.body, scope, BODY)
        for phase, hooks in ((ON_FAILURE, body.failure_hooks), (FINALLY, body.final_hooks)):
            for hook in hooks:
                _flatten(hook, scope, phase)
    else:
        _flatten(body, scope, BODY)
    for place in scope.places.values():
        place.bodies = [_scope(inner, place, depth - 1) for inner in _bodies(place.block)]
    return scope


def _bodies(block: Block) -> list[Part]:
    match block:
        case ForEach() | Repeat():
            return [block.body]
        case Branch():
            otherwise = [] if block.otherwise is None else [block.otherwise]
            return [*(case.body for case in block.cases), *otherwise]
        case Group():
            return [block.body if block.explicit else block]
    return []


def _flatten(
    part: Part, scope: Scope, phase: d.Phase.ValueType
) -> tuple[dict[Block, None], dict[Block, None]]:
    """Add the blocks and edges of a part to the scope; return the blocks that it begins with, and those that it ends with."""
    match part:
        case Sequence():
            ends = [_flatten(inner, scope, phase) for inner in part.parts]
            for (_, before), (after, _) in pairwise(ends):
                scope.edges.update((source, target) for source in before for target in after)
            return ends[0][0], ends[-1][1]
        case Parallel():
            first: dict[Block, None] = {}
            last: dict[Block, None] = {}
            for inner in part.parts:
                begins, finishes = _flatten(inner, scope, phase)
                first |= begins
                last |= finishes
            return first, last
        case Watched():
            begins, finishes = _flatten(part.block, scope, phase)
            for hook, rule in part.hooks:
                _beside(hook, rule, finishes, scope, phase)
            return begins, finishes
        case Triggered():
            _add(part.block, scope, phase, part)
            return {part.block: None}, {part.block: None}
        case Block():
            _add(part, scope, phase, None)
            return {part: None}, {part: None}
    raise WorkflowError(f"{part!r} cannot stand in a body", part.source)


def _beside(
    hook: Part,
    rule: d.TriggerRule.ValueType,
    watched: dict[Block, None],
    scope: Scope,
    phase: d.Phase.ValueType,
) -> None:
    """Add a hook that starts while a block goes on."""
    first, _ = _flatten(hook, scope, phase)
    scope.edges.update((source, target) for source in watched for target in first)
    for block in first:
        _add(block, scope, phase, Triggered(block=block, rule=rule, source=hook.source))


def _add(block: Block, scope: Scope, phase: d.Phase.ValueType, trigger: Triggered | None) -> None:
    place = scope.places.get(block)
    if place is None:
        place = Place(block=block, scope=scope, index=len(scope.places), phase=phase)
        scope.places[block] = place
    if place.phase != phase:
        raise WorkflowError(
            f"{block.label} stands both in {_PHASES[place.phase]} and in {_PHASES[phase]}; make a second one with a "
            "name of its own",
            block.source,
        )
    if trigger is None:
        return
    place.optional |= trigger.settles
    if trigger.rule:
        if place.trigger is not None and not _same_rule(place.trigger, trigger):
            raise WorkflowError(
                f"{block.label} has another rule of when to start, from {place.trigger.source}",
                trigger.source,
            )
        place.trigger = trigger


def _same_rule(one: Triggered, other: Triggered) -> bool:
    return one.rule == other.rule and one.condition is other.condition


def _name(places: list[Place]) -> None:
    """Give every place its name: the user's, else the block's stem with a number where it is taken."""
    taken: dict[str, Place] = {}
    for place in places:
        if place.block.name is not None:
            _take(place, place.block.name, taken)
    for place in places:
        if place.block.name is None:
            stem, number = place.block.stem, 1
            while (name := stem if number == 1 else f"{stem}-{number}") in taken:
                number += 1
            _take(place, name, taken)


def _take(place: Place, name: str, taken: dict[str, Place]) -> None:
    place.name = name
    other = taken.setdefault(name, place)
    if other is place:
        return
    if other.block is place.block:
        raise WorkflowError(
            f"{place.block.label} stands in two places, {_where(other)} and {_where(place)}; make a second one "
            "with a name of its own",
            place.block.source,
        )
    raise WorkflowError(
        f"the name {name!r} is used twice: also at {other.block.source}; every name is unique in a workflow",
        place.block.source,
    )


def _where(place: Place) -> str:
    holder = place.scope.holder
    return "outside of every block" if holder is None else f"in {holder.block.label}"


def _order(scope: Scope) -> None:
    """Fill `before`.

    Raises:
        WorkflowError: there is a cycle.
    """
    successors: dict[Block, list[Block]] = {block: [] for block in scope.places}
    waits = dict.fromkeys(scope.places, 0)
    for source, target in scope.edges:
        successors[source].append(target)
        waits[target] += 1
    scope.before = dict.fromkeys(scope.places, 0)
    ready = [block for block, count in waits.items() if count == 0]
    while ready:
        block = ready.pop()
        bits = scope.before[block] | 1 << scope.places[block].index
        for after in successors[block]:
            if not _starts_at_once(scope.places[after]):
                scope.before[after] |= bits
            waits[after] -= 1
            if waits[after] == 0:
                ready.append(after)
    _check_triggers(scope)
    if stuck := [block for block, count in waits.items() if count]:
        _raise_cycle(scope, stuck)


def _starts_at_once(place: Place) -> bool:
    return place.trigger is not None and place.trigger.rule in _AT_ONCE


def _check_triggers(scope: Scope) -> None:
    followers = {target for _, target in scope.edges}
    for block, place in scope.places.items():
        if place.trigger is not None and block not in followers:
            raise WorkflowError(
                f"{block.label} has a rule of when to start, but nothing comes before it",
                place.trigger.source,
            )
        if place.trigger is not None and place.trigger.condition is not None:
            before = {source for source, target in scope.edges if target is block}
            _check_condition(place, place.trigger.condition, before)


def _meant(block: object, before: set[Block]) -> str:
    """Tell which block the writer may have meant by one that is not right before."""
    for other in before:
        is_inside = any(unwrapped(body) is block for body in _bodies(other))
        if is_inside or repr(other) == repr(block):
            return (
                f"; {other.label} does: write block = {other!r} once, and use block in both places"
            )
    return ""


def _end_of(block: Block) -> str:
    written = repr(block)
    return f"block.ended with block = {written}" if " " in written else f"{written}.ended"


def _check_condition(place: Place, condition: Condition, before: set[Block]) -> None:
    """Check that a condition looks at all blocks right before its own, and at no others."""
    for end in condition.ends():
        if end.block not in before:
            raise WorkflowError(
                f"{place.block.label} starts by {condition!r}, and {end.block.label} does not come right before it"
                f"{_meant(end.block, before)}",
                end.source,
            )
    looked_at = {end.block for end in condition.ends()}
    for block in place.scope.places:
        if block in before and block not in looked_at:
            raise WorkflowError(
                f"{place.block.label} starts by {condition!r}, which does not look at {block.label}, which comes right "
                f"before it; add {_end_of(block)} where its end does not matter",
                condition.source,
            )


def _raise_cycle(scope: Scope, stuck: list[Block]) -> None:
    """Names one cycle among the blocks that wait for each other for ever."""
    rest = set(stuck)
    predecessors = {
        block: min(
            (source for source, target in scope.edges if target is block and source in rest),
            key=lambda source: scope.places[source].index,
        )
        for block in stuck
    }
    trail = [stuck[0]]
    while (before := predecessors[trail[-1]]) not in trail:
        trail.append(before)
    cycle = [before, *reversed(trail[trail.index(before) :])]
    names = " >> ".join(scope.places[block].name for block in cycle)
    raise WorkflowError(
        f"the order of the steps is a cycle: {names}; use repeat(...) to run steps again",
        cycle[0].source,
    )
