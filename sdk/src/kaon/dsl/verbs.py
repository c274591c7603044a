"""The words with which bodies are written; each operator stands for one of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

from kaon.dsl import checks, names, types
from kaon.dsl.blocks import (
    Branch,
    Each,
    ForEach,
    Group,
    Parallel,
    Part,
    Repeat,
    Sequence,
    Until,
    When,
    check_part,
    over_each,
    over_iterations,
)
from kaon.dsl.errors import WorkflowError
from kaon.dsl.foreign import check_keywords, refuses_others
from kaon.dsl.later import Later
from kaon.dsl.locks import Lock, checked_locks
from kaon.dsl.policies import Duration, milliseconds
from kaon.dsl.source import Source, caller
from kaon.dsl.times import times
from kaon.dsl.values import Value
from kaon_wire.definitions import policies
from kaonapi.workflow.v1 import definition_pb2 as d

Exhausted: TypeAlias = Literal["fail", "accept", "skip"]
OnError: TypeAlias = Literal["fail", "finish"]


class RepeatOptions(TypedDict, total=False):
    """How a repeat goes: the arguments of `until` beside its condition."""

    max_iterations: int | Value
    exhausted: Exhausted
    backoff: Duration | Value
    factor: float | Value
    max_backoff: Duration | Value
    timeout: Duration | Value
    deadline: Duration | Value
    name: str | None


# Iterations of a repeat that says nothing of them.
MAX_ITERATIONS = 100
_EXHAUSTED = {
    "fail": d.EXHAUSTED_FAIL,
    "accept": d.EXHAUSTED_ACCEPT,
    "skip": d.EXHAUSTED_SKIP,
}
_ON_ERROR = {
    None: d.ON_ERROR_UNSPECIFIED,
    "fail": d.ON_ERROR_FAIL,
    "finish": d.ON_ERROR_FINISH,
}


def sequence(*parts: Part) -> Sequence:
    """Run the parts one after the other; `a >> b`.

    Raises:
        WorkflowError: there is none, or one is no part.
    """
    source = caller()
    return Sequence(parts=_parts(parts, "sequence", source), source=source)


def parallel(*parts: Part) -> Parallel:
    """Run the parts in parallel; `a | b`. The next part waits for all of them.

    Raises:
        WorkflowError: there is none, or one is no part.
    """
    source = caller()
    return Parallel(parts=_parts(parts, "parallel", source), source=source)


@refuses_others
def each(
    item: str,
    items: Any,
    *,
    max_concurrency: int | Value = 0,
    tolerate: int | str | Value = 0,
    on_error: OnError | None = None,
    stop_early: d.EarlyStopping | None = None,
    timeout: Duration | Value = 0,
    deadline: Duration | Value = 0,
    name: str | None = None,
) -> Each:
    """Declare the items over which a body runs. Given to a step of that body, it stands for the item.

        region = each("region", wrangle["regions"], max_concurrency=4, tolerate="20%")
        train = steps.r("train-region", "r/train.R", region=region)
        wrangle >> train ** region

    Args:
        item: what the body calls its item.
        items: an output, a parameter, an expression or a literal that gives a list; an artifact of JSON lines, one item a line;
            or a search space: `grid(...)`, `sample(...)`.
        max_concurrency: how many cells run at once; 0 means all.
        tolerate: how many cells may fail, as a number or as a percentage; with 0 the first failure stops the others.
        on_error: "finish": one failure more than that stops none of the other cells, and in a cell nothing that does not come
            after what has failed; "fail": it stops them all. By default that of the scope around.
        stop_early: `median(...)` or `halving(...)`: when a cell that does badly is stopped.
        timeout: how long the foreach may take in all.
        deadline: after this it counts as late, and goes on.
        name: the foreach's name in paths; by default that of the output or parameter that gives the items.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    names.check_value_name(item, "an item", source)
    if name is not None:
        names.check_block_name(name, "foreach", source)
    later = Later()
    what = f"each({item!r}): max_concurrency"
    cells = later.take("for_each.max_concurrency", max_concurrency, 0)
    checks.whole(cells, what, source, d.ForEach, "max_concurrency", least=0)
    if stop_early is not None and not isinstance(stop_early, d.EarlyStopping):
        raise WorkflowError(
            f"each({item!r}): stop_early is median(...) or halving(...), not {stop_early!r}", source
        )
    return Each(
        name=item,
        items=items,
        max_concurrency=cells,
        failure=_failure(item, later.take(policies.TOLERATE, tolerate, 0), source),
        early_stopping=stop_early,
        on_error=on_error_of(on_error, f"each({item!r})", source),
        block=name,
        **times(later, timeout, deadline, f"each({item!r})", source),
        source=source,
    )


def for_each(item: Each, body: Part) -> ForEach:
    """Run the body once for each item; `body ** item`. The results are joined in the order of the items.

    Raises:
        WorkflowError: the item was not made by `each`, or the body is no part.
    """
    source = caller()
    if not isinstance(item, Each):
        raise WorkflowError(
            'for_each takes each(...) first: for_each(each("region", wrangle["regions"]), body)',
            source,
        )
    return over_each(item, check_part(body, "for_each", source), source)


@refuses_others
def until(
    condition: Any,
    *,
    max_iterations: int | Value = MAX_ITERATIONS,
    exhausted: Exhausted = "fail",
    backoff: Duration | Value = 0,
    factor: float | Value = 1.0,
    max_backoff: Duration | Value = "1h",
    timeout: Duration | Value = 0,
    deadline: Duration | Value = 0,
    name: str | None = None,
) -> Until:
    """Set the condition that ends a repeat, the right side of `body ** ...`.

    Args:
        condition: an output of type bool of a step, or `expr(...)`, evaluated after each iteration.
        max_iterations: iterations in all, at least 1; 100 when it is not given.
        exhausted: "fail": the repeat fails when the condition does not hold after the last iteration; "accept": it succeeds;
            "skip": it is skipped.
        backoff: wait before the second iteration.
        factor: each further wait is longer by this factor; at least 1.
        max_backoff: no wait is longer than this.
        timeout: how long the repeat may take in all.
        deadline: after this it counts as late, and goes on.
        name: the repeat's name in paths; by default "cycle".

    Raises:
        WorkflowError: one of them is wrong.
    """
    return _control(
        condition,
        caller(),
        holds=False,
        max_iterations=max_iterations,
        exhausted=exhausted,
        backoff=backoff,
        factor=factor,
        max_backoff=max_backoff,
        timeout=timeout,
        deadline=deadline,
        name=name,
    )


def while_(
    condition: Any, body: Part | None = None, **how: Unpack[RepeatOptions]
) -> Repeat | Until:
    """Run the body again as long as a condition holds, and not even once if it never does.

    `body ** while_(condition)` says the same.

        while_(expr("left > 0", left=last("load.left", 1)), load, max_iterations=50)

    Args:
        condition: a parameter or output of type bool, or `expr(...)`, evaluated before each iteration; what it takes from the body
            is `last(...)`, with a value for the first iteration.
        body: what runs in each iteration; left out on the right of `**`.
        how: the arguments of `until(...)` beside its condition. "exhausted" is what happens when the condition still holds after
            `max_iterations`, which are 100 when they are not given.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    check_keywords("while_", how, list(RepeatOptions.__annotations__))
    control = _control(condition, source, holds=True, **how)
    if body is None:
        return control
    return over_iterations(control, check_part(body, "while_", source), source)


def _control(
    condition: Any,
    source: Source,
    *,
    holds: bool,
    max_iterations: int | Value = MAX_ITERATIONS,
    exhausted: Exhausted = "fail",
    backoff: Duration | Value = 0,
    factor: float | Value = 1.0,
    max_backoff: Duration | Value = "1h",
    timeout: Duration | Value = 0,
    deadline: Duration | Value = 0,
    name: str | None = None,
) -> Until:
    later = Later()
    if later.take("repeat.max_iterations", max_iterations, None) is not None:
        what = "repeat: max_iterations"
        checks.whole(max_iterations, what, source, d.Repeat, "max_iterations", least=1)
    if exhausted not in _EXHAUSTED:
        raise WorkflowError(
            f'repeat: exhausted must be "fail", "accept" or "skip", not {exhausted!r}', source
        )
    growth = later.take("repeat.backoff_factor", factor, 1.0)
    if not types.is_real(growth) or growth < 1:
        raise WorkflowError(f"repeat: factor must be at least 1, not {factor!r}", source)
    if name is not None:
        names.check_block_name(name, "repeat", source)
    wait = later.take("repeat.backoff_ms", backoff, 0)
    longest = later.take("repeat.max_backoff_ms", max_backoff, 0)
    backoff_ms = milliseconds(wait, "repeat: backoff", source)
    longest_ms = milliseconds(longest, "repeat: max_backoff", source)
    waits = backoff_ms > 0 or isinstance(backoff, Value)
    return Until(
        condition=condition,
        holds=holds,
        max_iterations=0 if isinstance(max_iterations, Value) else max_iterations,
        exhausted=_EXHAUSTED[exhausted],
        backoff_ms=backoff_ms,
        # Without a wait these say nothing.
        backoff_factor=float(growth) if waits and not isinstance(factor, Value) else 0.0,
        max_backoff_ms=longest_ms if waits else 0,
        block=name,
        **times(later, timeout, deadline, "repeat", source),
        source=source,
    )


def repeat(body: Part, *, until: Any, **how: Unpack[RepeatOptions]) -> Repeat:
    """Repeat the body until the condition holds; `body ** until(condition, max_iterations=...)`.

        repeat(train >> check, until=check["good"], max_iterations=5, backoff="10s", factor=2)

    Args:
        body: what runs in each iteration; its steps may use `last(...)`.
        until: an output of type bool of a step, or `expr(...)`, evaluated after each iteration.
        how: the other arguments of `until(...)`.

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    check_keywords("repeat", how, list(RepeatOptions.__annotations__))
    return over_iterations(_until(until, **how), check_part(body, "repeat", source), source)


def when(condition: Any, body: Part) -> When:
    """Make one case of a `branch`: a body, and the condition under which it runs (an output of type bool, or `expr(...)`).

    Raises:
        WorkflowError: the body is no part.
    """
    source = caller()
    return When(condition=condition, body=check_part(body, "when", source), source=source)


@refuses_others
def branch(
    *cases: When,
    otherwise: Part | None = None,
    timeout: Duration | Value = 0,
    deadline: Duration | Value = 0,
    name: str | None = None,
) -> Branch:
    """Run the body of the first case whose condition holds, else `otherwise`, else nothing.

        branch(when(expr("n < 1000", n=count["n"]), small), otherwise=large)

    Raises:
        WorkflowError: there is no case, or one was not made by `when`.
    """
    source = caller()
    if not cases or not all(isinstance(case, When) for case in cases):
        raise WorkflowError("branch takes when(condition, body), once or more", source)
    if name is not None:
        names.check_block_name(name, "branch", source)
    if otherwise is not None:
        check_part(otherwise, "branch", source)
    return Branch(
        cases=cases,
        otherwise=otherwise,
        name=name,
        **times(Later(), timeout, deadline, "branch", source),
        source=source,
    )


@refuses_others
def group(
    body: Part,
    *,
    on_failure: Part | None = None,
    finally_: Part | None = None,
    on_error: OnError | None = None,
    timeout: Duration | Value = 0,
    deadline: Duration | Value = 0,
    locks: Iterable[Lock] | Lock | None = None,
    name: str | None = None,
) -> Group:
    """Make one block of a body: a scope of its own for failures, hooks and time-outs.

        group(load >> train, name="training", timeout="2h", finally_=clean_up)

    Args:
        body: what runs.
        on_failure: runs when the body has failed or timed out; `group(body).on_failure(...)`.
        finally_: runs after everything else, whatever became of it; `group(body).finally_(...)`.
        on_error: "finish": a failure stops nothing in the group that does not come after it; "fail": it stops everything. By
            default that of the scope around.
        timeout: how long it may take in all, hooks included.
        deadline: after this it counts as late, and goes on.
        locks: `mutex(...)` and `semaphore(...)` that it holds from its start to the end of its hooks.
        name: its name in paths; by default "group".

    Raises:
        WorkflowError: one of them is wrong.
    """
    source = caller()
    if name is not None:
        names.check_block_name(name, "group", source)
    body = check_part(body, "group", source)
    body = body if on_failure is None else body.on_failure(on_failure)
    body = body if finally_ is None else body.finally_(finally_)
    return Group(
        body=body,
        explicit=True,
        on_error=on_error_of(on_error, "group", source),
        name=name,
        **times(Later(), timeout, deadline, "group", source),
        locks=checked_locks(locks, "group", source),
        source=source,
    )


def on_error_of(given: object, what: str, source: Source) -> d.OnError.ValueType:
    """Return the failure policy that a word stands for; None stands for that of the scope around.

    Raises:
        WorkflowError: there is no such policy.
    """
    if not isinstance(given, str | None) or given not in _ON_ERROR:
        raise WorkflowError(f'{what}: on_error is "fail" or "finish", not {given!r}', source)
    return _ON_ERROR[given]


# `repeat` has an argument of this name.
_until = until


def _parts(parts: tuple[Part, ...], verb: str, source: Source) -> tuple[Part, ...]:
    if not parts:
        raise WorkflowError(f"{verb}() is empty; give it at least one step or block", source)
    return tuple(check_part(part, verb, source) for part in parts)


def _failure(item: str, tolerate: object, source: Source) -> d.FailurePolicy | None:
    found = policies.tolerated(tolerate)
    if found is None:
        raise WorkflowError(
            f'each({item!r}): tolerate is a number of cells or a percentage such as "20%", not {tolerate!r}',
            source,
        )
    if isinstance(found, float):
        return d.FailurePolicy(percent=found)
    return d.FailurePolicy(count=found) if found else None
