"""Retries by the message of an error, and within a duration."""

from __future__ import annotations

import time

import pytest

from kaon_coordinator.engine.messages import Retry
from kaon_coordinator.engine.state import transitions as t
from kaon_wire.definitions.retry_rules import (
    MESSAGE_CHARACTERS,
    PATTERN_CHARACTERS,
    matching_rule,
    pattern_problem,
)
from kaon_wire.definitions.validate import validate
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, for_each, literal, repeat, step, workflow
from .driver import Behaviour, Driver, failure

RULES = [
    d.RetryRule(error_type="*", max_attempts=2),
    d.RetryRule(exit_code=75, max_attempts=3),
    d.RetryRule(error_type="Http*", message_pattern="(?i)rate limit|429", max_attempts=4),
    d.RetryRule(exit_code=75, message_pattern="busy", max_attempts=5),
    d.RetryRule(message_pattern="quota exceeded", max_attempts=1),
]


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (step_pb2.StepError(type="HttpError", message="Rate Limit reached"), 4),
        (step_pb2.StepError(type="Gone", type_bases=["HttpError"], message="status 429"), 4),
        (step_pb2.StepError(type="HttpError", message="not found"), 2),
        (step_pb2.StepError(type="OtherError", message="429"), 2),
        (step_pb2.StepError(type="ExitCode", exit_code=75, message="it is busy"), 5),
        (step_pb2.StepError(type="ExitCode", exit_code=75, message="it is gone"), 3),
        (step_pb2.StepError(type="ExitCode", exit_code=7, message="it is busy"), 2),
        # What a program says; of an exception the details are its traceback.
        (step_pb2.StepError(type="ExitCode", exit_code=75, details="it is busy"), 5),
        (step_pb2.StepError(type="X", details="quota exceeded"), 2),
        (step_pb2.StepError(type="X", message="the quota exceeded"), 1),
        # Of several with a message the first one decides, and what lies behind the bound is not seen.
        (step_pb2.StepError(type="Http", message="429: quota exceeded"), 4),
        (step_pb2.StepError(type="X", message=" " * MESSAGE_CHARACTERS + "quota exceeded"), 2),
    ],
)
def test_a_rule_with_a_message_decides_before_the_others(
    error: step_pb2.StepError, attempts: int
) -> None:
    rule = matching_rule(d.RetryPolicy(rules=RULES), error)
    assert rule is not None
    assert rule.max_attempts == attempts


def test_a_search_in_a_message_takes_linear_time() -> None:
    rule = d.RetryRule(message_pattern="(a+)+$", max_attempts=2)
    error = step_pb2.StepError(type="X", message="a" * (MESSAGE_CHARACTERS - 1) + "b")
    begin = time.process_time()
    assert matching_rule(d.RetryPolicy(rules=[rule]), error) is None
    # One that tracks back would take longer than the universe is old.
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "the pattern '(' is wrong: missing )"),
        ("(?=x)", "is wrong"),
        ("x" * (PATTERN_CHARACTERS + 1), f"the limit is {PATTERN_CHARACTERS}"),
        ("(ab?){500}[^x]{400}", "instructions, by its repetitions"),
        ("timed out|reset", ""),
    ],
)
def test_a_pattern_that_is_wrong_or_large_is_refused(pattern: str, problem: str) -> None:
    block = step("a")
    block.step.retry.rules.add(message_pattern=pattern, max_attempts=2)
    found = validate(workflow(chain(block)))
    assert len(found) == bool(problem)
    if problem:
        assert problem in found[0]
        assert found[0].startswith("a: ")
        assert pattern_problem(pattern)


def _driver(longest_ms: int, behaviour: Behaviour, **retry: float) -> Driver:
    block = step("a", attempts=100)
    block.step.retry.MergeFrom(d.RetryPolicy(max_duration_ms=longest_ms, **retry))
    return Driver(workflow(chain(block)), behaviour)


def test_no_attempt_begins_later_than_the_longest_duration() -> None:
    # Waits of 1, 2, 4, ... seconds: the attempts begin at 0, 1, 3, 7, and the next would begin at 15.
    driver = _driver(10_000, lambda state: failure(), backoff_factor=2.0)
    driver.run()
    driver.check_replay()
    driver.take_over()
    found = driver.state.steps["a"]
    assert found.status == t.FAILED
    begins = [
        event.step_retry_scheduled.retry_time_us - found.begin_us
        for event in driver.history
        if event.HasField("step_retry_scheduled")
    ]
    assert begins
    assert max(begins) <= 10_000_000
    assert found.attempt == len(begins) + 1
    unbound = _driver(0, lambda state: failure(), backoff_factor=2.0)
    unbound.run()
    assert unbound.state.steps["a"].attempt == 100


def test_a_retry_by_a_command_begins_the_duration_anew() -> None:
    driver = _driver(2_500, lambda state: failure(), backoff_factor=1.0)
    driver.run()
    first = driver.state.steps["a"].attempt
    driver.tell(Retry(path="a", reason="", requester="me"))
    driver.drain()
    assert driver.state.steps["a"].attempt == first > 1
    driver.check_replay()


def test_failures_of_the_platform_do_not_count_for_the_duration() -> None:
    fails = iter([failure(platform=True)] * 2)
    driver = _driver(1, lambda state: next(fails, {"out": 1}))
    driver.run()
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.steps["a"].platform_failures == 2


@pytest.mark.parametrize("nested", ["foreach", "repeat"])
def test_each_instance_of_a_step_has_its_own_duration(nested: str) -> None:
    block = step("a", attempts=100)
    block.step.retry.MergeFrom(d.RetryPolicy(max_duration_ms=2_500, backoff_factor=1.0))
    block.step.retry.rules.add(message_pattern="boom", max_attempts=50)
    body = chain(block)
    around = (
        for_each("f", literal([1, 2]), body, at_once=1, tolerate=2)
        if nested == "foreach"
        else repeat("r", chain(_optional(block)), literal(False), 2, accept=True)
    )
    driver = Driver(workflow(chain(around)), lambda state: failure())
    driver.run()
    driver.check_replay()
    attempts = [each.attempt for each in driver.state.steps.values()]
    assert len(attempts) == 2
    assert all(1 < each < 50 for each in attempts)


def _optional(block: d.Block) -> d.Block:
    block.optional = True
    return block
