"""Conditions over how blocks have ended: what a block with the rule CONDITION starts by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias

from kaonapi.workflow.v1 import definition_pb2 as d

# Tells whether a block has ended in a way; None while that is not known.
Ended: TypeAlias = Callable[[d.BlockEnd], bool | None]

MOST_ENDS = 256
MOST_DEPTH = 8

# The ways to end, as people write them.
WORDS = {
    d.BLOCK_END_KIND_SUCCEEDED: "succeeded",
    d.BLOCK_END_KIND_FAILED: "failed",
    d.BLOCK_END_KIND_SKIPPED: "skipped",
    d.BLOCK_END_KIND_PASSED: "passed",
    d.BLOCK_END_KIND_ENDED: "ended",
}


def holds(condition: d.StartCondition, ended: Ended) -> bool | None:
    """Return whether a condition holds; None while that depends on ends that are not known."""
    if condition.HasField("end"):
        return ended(condition.end)
    joins_all = condition.HasField("all")
    unknown = False
    for each in parts(condition):
        found = holds(each, ended)
        if found is None:
            unknown = True
        elif found is not joins_all:
            return found
    return None if unknown else joins_all


def parts(condition: d.StartCondition) -> Collection[d.StartCondition]:
    """Return the conditions that a condition joins; none of a single end."""
    return (condition.all if condition.HasField("all") else condition.any).conditions


def ends(condition: d.StartCondition) -> Iterator[d.BlockEnd]:
    """Yield every end that a condition looks at, in the order in which it is written."""
    if condition.HasField("end"):
        yield condition.end
    for each in parts(condition):
        yield from ends(each)


def without(condition: d.StartCondition, names: Collection[str]) -> d.StartCondition | None:
    """Return a condition without the ends of some blocks; None when nothing is left of it."""
    if condition.HasField("end"):
        return None if condition.end.block in names else condition
    left = [found for each in parts(condition) if (found := without(each, names)) is not None]
    if not left:
        return None
    joined = d.StartConditions(conditions=left)
    return (
        d.StartCondition(all=joined) if condition.HasField("all") else d.StartCondition(any=joined)
    )


def describe(condition: d.StartCondition) -> str:
    """Return a condition as people read it: "load succeeded and (a failed or b succeeded)"."""
    if condition.HasField("end"):
        return f"{condition.end.block} {WORDS.get(condition.end.kind, '?')}"
    sign = " and " if condition.HasField("all") else " or "
    return sign.join(
        describe(each) if each.HasField("end") else f"({describe(each)})"
        for each in parts(condition)
    )


def condition_problems(block: d.Block, before: Collection[str]) -> Iterator[str]:
    """Yield the problems of a block's condition, given the names of the blocks right before it."""
    has_rule, has_condition = block.trigger == d.TRIGGER_RULE_CONDITION, block.HasField("start")
    if has_rule != has_condition:
        yield (
            f"{block.name}: its rule is CONDITION, and it has no condition"
            if has_rule
            else f"{block.name}: it has a condition, and its rule is not CONDITION"
        )
    if not (has_rule and has_condition):
        return
    if problem := _form_problem(block.start, MOST_DEPTH):
        yield f"{block.name}: its start condition {problem}"
        return
    named = [each.block for each in ends(block.start)]
    if len(named) > MOST_ENDS:
        yield f"{block.name}: its start condition looks at {len(named)} ends; the limit is {MOST_ENDS}"
    for name in dict.fromkeys(named):
        if name not in before:
            yield f"{block.name}: its start condition names {name!r}, which does not come right before it"
    for name in before:
        if name not in named:
            yield f"{block.name}: its start condition does not name {name!r}, which comes right before it"


def _form_problem(condition: d.StartCondition, depth: int) -> str:
    if depth < 0:
        return f"is nested deeper than {MOST_DEPTH}"
    match condition.WhichOneof("kind"):
        case None:
            return "is empty in a place"
        case "end":
            return "" if condition.end.kind else "does not say how a block ends"
    if not parts(condition):
        return "is empty in a place"
    return next(
        (found for each in parts(condition) if (found := _form_problem(each, depth - 1))), ""
    )
