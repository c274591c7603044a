"""What is accepted here is accepted by servers: extremes in any number or text are refused in words, with the line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import timedelta

import pytest

import kaon
from kaon import Workflow, WorkflowError
from kaon_wire import bounds
from kaon_wire.definitions.validate import validate

OPTIONS = (
    "priority=V", "timeout=V", "total_timeout=V", "deadline=V", "retry=V", "retry=Retry(max_attempts=V)",
    "retry=Retry(backoff=V)", "retry=Retry(factor=V)", "retry=Retry(max_backoff=V)", "retry=Retry(jitter=V)",
    "retry=Retry(max_duration=V)", "retry=Retry(rules={'E': V})", "retry=Retry(rules={'E': RetryRule(max_attempts=2, backoff=V)})",
    "resources=Resources(slots=V)", "resources=Resources(cpu=V)", "resources=Resources(memory=V)",
    "resources=Resources(gpu=V)", "resources=Resources(custom={'x': V})", "memo=Memo(max_age=V)", "exclusive=V",
    "tags=[V]", "labels=[V]", "isolation=V", "pool=V", "requirements=V", "outputs={'o': V}", "config={'c': V}",
    "x=V", "x=[V, {'y': V}]", "x=param('p', int, default=V)", "x=param('p', float, default=V)", "x=expr('V')",
    "x=param('p', int, default=1, choices=[1, V])", "memo=Memo(salt=V)", "x=param('p', str, default='', check=V)",
    "x=param('p', int, description=V)", "x=param('p', str, default=V)", "x=expr(V)", "x=last('a.b', V)",
)  # fmt: skip
BODIES = (
    *(f"step('s', {each})" for each in OPTIONS),
    "step(V)", "step('s') ** each('i', [1], max_concurrency=V)", "step('s') ** each('i', [1], tolerate=V)",
    "step('s') ** each('i', [1], timeout=V)", "step('s') ** each('i', [1], deadline=V)", "step('s') ** each('i', V)",
    "step('s') ** each(V, [1])", "step('s') ** each('i', grid(a=[V]))", "step('s') ** each('i', grid({V: [1]}))",
    "step('s') ** each('i', sample(count=V, a=[1]))", "step('s') ** each('i', sample(count=1, seed=V, a=[1]))",
    "step('s') ** each('i', sample(count=1, a=uniform(0, V)))", "step('s') ** each('i', sample(count=1, a=integers(0, V)))",
    "step('s') ** each('i', sample(count=1, a=log_uniform(1, V)))", "step('s') ** each('i', [1], stop_early=median(V))",
    "step('s') ** each('i', [1], stop_early=median('m', min_step=V, min_cells=1))",
    "step('s') ** each('i', [1], stop_early=median('m', min_cells=V))",
    "step('s') ** each('i', [1], stop_early=halving('m', eta=V))",
    "step('s') ** each('i', [1], stop_early=halving('m', min_step=V))",
    "step('s') ** until(expr('true'), max_iterations=V)", "step('s') ** until(expr('true'), max_iterations=2, backoff=V)",
    "step('s') ** until(expr('true'), max_iterations=2, backoff=1, factor=V)",
    "step('s') ** until(expr('true'), max_iterations=2, backoff=1, max_backoff=V)",
    "step('s') ** until(expr('true'), max_iterations=2, timeout=V, deadline=V)",
    "branch(when(expr('true'), step('s')), timeout=V, deadline=V)", "group(step('s'), timeout=V)", "timer('t', after=V)",
    "timer('t', at=V)", "timer('t', after=1, deadline=V)", "approval('g', message=V)", "approval('g', timeout=V)",
    "approval('g', roles=[V])", "signal('g', timeout=1, default=V)", "signal('g', signal=V)", "signal('g', timeout=V)",
    "sub_workflow('w', 'other', timeout=V, deadline=V)", "sub_workflow('w', 'other', x=V)", "steps.hive('h', V)",
    "sub_workflow('w', 'other', params={V: 1})", "step('s', inputs={V: 1})", "steps.docker('d', image=V, argv=['x', V])",
    "steps.docker('d', image='i', env={'E': V, V: 'e'})", "steps.r('r', V)", "steps.publish('p', V, model=step('s'))",
)  # fmt: skip
EXTREMES = (
    2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**70, -1, -(2**31) - 1, -(2**70), 10**400, 1e308, 1e18, math.inf, -math.inf, math.nan,
    "", "\0", "a\0b", "\ud800", "a\udfff", "9" * 400 + "d", "9" * 400 + "TiB", "x" * 20_000, timedelta.max, None, True, 0, 1, b"x",
)  # fmt: skip
WORKFLOWS = (
    "description=V",
    "timeout=V",
    "deadline=V",
    "max_active_runs=V",
    "outputs={V: 1}",
    "outputs={'o': V}",
)


def refused(text: str, value: object) -> str:
    """How a workflow that is written in `text` over V is refused; empty when it is not. Nothing else may come of it."""
    names = {**{name: getattr(kaon, name) for name in kaon.__all__}, "V": value}
    names["step"] = lambda name, **rest: kaon.steps.shell(name, argv=["true"], **rest)
    try:
        definition = eval(text, names).definition()
    except WorkflowError as error:
        return error.problem
    assert not validate(definition)
    assert definition.FromString(definition.SerializeToString()) == definition
    return ""


@pytest.mark.parametrize("body", BODIES)
def test_an_extreme_in_a_body_is_refused_in_words_or_is_good_for_servers(body: str) -> None:
    for value in EXTREMES:
        refused(f"Workflow('w', {body})", value)


@pytest.mark.parametrize("option", WORKFLOWS)
def test_an_extreme_in_an_option_of_the_workflow_is_too(option: str) -> None:
    for value in EXTREMES:
        refused(f"Workflow('w', step('s'), {option})", value)


@pytest.mark.parametrize(
    ("body", "value", "told"),
    [
        ("step('s', priority=V)", bounds.HIGHEST_PRIORITY + 1, "step 's': priority is a whole number from -1000000000 to"),
        ("step('s', timeout=V)", "9999999d", "step 's': timeout: '9999999d' is longer than"),
        ("step('s', resources=Resources(memory=V))", 2**50 + 1, "Resources(memory): 1125899906842625 is more than"),
        ("step('s', config={'c': V})", "a\0b", "step 's': config: a text in it has a NUL"),
        ("step('s') ** until(expr('true'), max_iterations=V)", 10_001, "cycle: max_iterations must be from 1 to 10000"),
        ("step('s', x=expr(V))", "1 + " * 2_000 + "1", "has 8001 characters; use at most 4096"),
        ("step('s', x=V)", "x" * 2_000_000, "the limit definition_bytes is 1048576"),
    ],
)  # fmt: skip
def test_a_refusal_names_what_and_the_bound(body: str, value: object, told: str) -> None:
    assert told in refused(f"Workflow('w', {body})", value)


@pytest.mark.parametrize("depth", [17, 40, 200])
@pytest.mark.parametrize(
    "around",
    [
        "group(body)",
        "branch(when(expr('true'), body))",
        "body ** each(f'i{number}', [1])",
        "body ** until(expr('true'), max_iterations=2)",
    ],
)
def test_blocks_that_are_nested_too_deeply_name_their_line(
    build: Callable[[str], Workflow], monkeypatch: pytest.MonkeyPatch, around: str, depth: int
) -> None:
    text = f"from kaon import *\nbody = steps.shell('s', argv=['true'])\nfor number in range(%d):\n  body = {around}\n"
    end = "w = Workflow('w', body)\n"
    assert build(text % 16 + end).definition()
    told = r"flow\.py:4: .* is nested deeper than the limit nesting_depth of 16"
    with pytest.raises(WorkflowError, match=told):
        build(text % depth + end)
    monkeypatch.setenv("KAON_LIMITS", "nesting_depth=20, cel_cost=7")
    if depth == 17:
        assert build(text % depth + end).definition()
    else:
        with pytest.raises(WorkflowError, match=re.escape("nesting_depth of 20")):
            build(text % depth + end)
