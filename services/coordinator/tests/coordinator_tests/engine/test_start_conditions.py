"""Conditions over the ends of the blocks before: when a block starts by them, and what they handle."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from kaon_coordinator.engine.messages import Cancel, Start
from kaon_coordinator.engine.state import transitions as t
from kaon_wire.definitions.conditions import MOST_DEPTH, MOST_ENDS, describe
from kaon_wire.definitions.validate import validate
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, literal, step, workflow
from .driver import Driver
from .test_failure_policies import NESTINGS, behave, ends, graph, optional, played
from .test_targets import aimed

SUCCEEDED, FAILED, SKIPPED, PASSED, ENDED = (
    d.BLOCK_END_KIND_SUCCEEDED,
    d.BLOCK_END_KIND_FAILED,
    d.BLOCK_END_KIND_SKIPPED,
    d.BLOCK_END_KIND_PASSED,
    d.BLOCK_END_KIND_ENDED,
)
FINISH, FAIL = d.ON_ERROR_FINISH, d.ON_ERROR_FAIL


def end(name: str, kind: d.BlockEndKind.ValueType) -> d.StartCondition:
    return d.StartCondition(end=d.BlockEnd(block=name, kind=kind))


def all_of(*parts: d.StartCondition) -> d.StartCondition:
    return d.StartCondition(all=d.StartConditions(conditions=parts))


def any_of(*parts: d.StartCondition) -> d.StartCondition:
    return d.StartCondition(any=d.StartConditions(conditions=parts))


def started_by(name: str, condition: d.StartCondition) -> d.Block:
    block = step(name)
    block.trigger = d.TRIGGER_RULE_CONDITION
    block.start.CopyFrom(condition)
    return block


def made(how: str, name: str) -> d.Block:
    """A block that ends in a way; steps whose name begins with "broken" fail."""
    match how:
        case "skipped":
            return branch(name, literal(False), chain(step(f"way-{name}")))
        case "optional":
            return optional(step(name))
    return step(name)


def mixed(*hows: str) -> d.Graph:
    """`(load | a | b) >> after.when(load.succeeded & (a.failed | b.succeeded)) >> last`; each of the three ends as told."""
    load, a, b = (
        made(how, f"{'broken-' if how == 'failed' else ''}{name}")
        for how, name in zip(hows, ("load", "a", "b"), strict=True)
    )
    condition = all_of(
        end(load.name, SUCCEEDED), any_of(end(a.name, FAILED), end(b.name, SUCCEEDED))
    )
    return graph(
        load, a, b, started_by("after", condition), step("last"),
        (load.name, "after"), (a.name, "after"), (b.name, "after"), ("after", "last"),
    )  # fmt: skip


@pytest.mark.parametrize("nested", NESTINGS)
@pytest.mark.parametrize("on_error", [FAIL, FINISH])
@pytest.mark.parametrize(
    ("hows", "after", "run"),
    [
        (("good", "good", "good"), "SUCCEEDED", "SUCCEEDED"),
        # The failure is handled: the step starts for it.
        (("good", "failed", "good"), "SUCCEEDED", "SUCCEEDED"),
        (("good", "failed", "failed"), "SUCCEEDED", "SUCCEEDED"),
        (("good", "failed", "skipped"), "SUCCEEDED", "SUCCEEDED"),
        # The step is skipped, and then handles nothing.
        (("good", "good", "failed"), "SKIPPED", "FAILED"),
        (("failed", "failed", "good"), "SKIPPED", "FAILED"),
        (("good", "good", "skipped"), "SKIPPED", "SUCCEEDED"),
        (("skipped", "good", "good"), "SKIPPED", "SUCCEEDED"),
    ],
)
def test_a_mixed_condition_starts_a_step_or_skips_it(
    hows: tuple[str, str, str], after: str, run: str, on_error: d.OnError.ValueType, nested: str
) -> None:
    driver = played(NESTINGS[nested](mixed(*hows)), on_error)
    found = ends(driver)
    failed_fast = on_error == FAIL and run == "FAILED"
    assert found["after"] == after or (failed_fast and found["after"] in {"SKIPPED", "CANCELLED"})
    assert found["last"] == after or failed_fast
    assert t.short(driver.state.status) == run


def test_a_failure_that_no_end_of_the_others_can_handle_stops_the_rest_at_once() -> None:
    driver = Driver(workflow(mixed("failed", "good", "good")), behave)
    driver.tell(Start())
    driver.execute("broken-load")
    assert driver.state.steps["a"].status != t.READY
    driver.drain()
    driver.check_replay()
    assert driver.state.status == t.FAILED


def test_it_starts_as_soon_as_the_condition_holds_and_does_not_wait_for_the_others() -> None:
    driver = Driver(workflow(mixed("good", "good", "good")), behave)
    driver.tell(Start())
    driver.execute("load")
    assert "after" not in driver.requested
    driver.execute("b")
    assert "after" in driver.requested
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_a_skip_tells_of_the_condition_or_of_the_failure() -> None:
    unmet = played(chain(step("a"), started_by("after", end("a", FAILED))))
    error = unmet.state.steps["after"].error
    assert error is not None
    assert (error.type, error.message) == (
        "Skipped",
        "it starts when a failed, and that has not come about",
    )
    failed = played(mixed("failed", "failed", "good"), FINISH).state.steps["after"].error
    assert failed is not None
    assert failed.type == "UpstreamFailed"
    assert "broken-load is FAILED" in failed.message


@pytest.mark.parametrize(
    ("condition", "run", "after"),
    [
        (end("a", ENDED), "SUCCEEDED", "SUCCEEDED"),
        (any_of(end("a", SUCCEEDED), end("a", FAILED)), "CANCELLED", "SKIPPED"),
    ],
)
def test_a_cancel_is_handled_by_a_condition_that_holds_all_the_same(
    condition: d.StartCondition, run: str, after: str
) -> None:
    driver = Driver(workflow(chain(step("a"), started_by("after", condition))), behave)
    driver.tell(Start())
    driver.tell(Cancel(path="a", reason="", requester="me"))
    driver.drain()
    driver.check_replay()
    driver.take_over()
    assert (t.short(driver.state.status), ends(driver)["after"]) == (run, after)


def test_in_a_run_of_a_part_the_ends_of_what_is_left_out_do_not_count() -> None:
    driver = aimed(mixed("good", "good", "good"), only=["b", "after"])
    driver.run()
    driver.check_replay()
    assert ends(driver) == {
        "load": "SKIPPED", "a": "SKIPPED", "b": "SUCCEEDED", "after": "SUCCEEDED", "last": "SKIPPED",
    }  # fmt: skip
    assert ends(_only_after())["after"] == "SUCCEEDED"


def _only_after() -> Driver:
    driver = aimed(mixed("good", "good", "good"), only=["after"])
    driver.run()
    return driver


# Every other rule as a condition: each block before it ended so, all or one of them.
AS_CONDITIONS: Mapping[d.TriggerRule.ValueType, tuple[bool, d.BlockEndKind.ValueType]] = {
    d.TRIGGER_RULE_ALL_PASSED: (True, PASSED),
    d.TRIGGER_RULE_ALL_SUCCEEDED: (True, SUCCEEDED),
    d.TRIGGER_RULE_ANY_SUCCEEDED: (False, SUCCEEDED),
    d.TRIGGER_RULE_ALL_DONE: (True, ENDED),
    d.TRIGGER_RULE_ANY_FAILED: (False, FAILED),
    d.TRIGGER_RULE_ALL_FAILED: (True, FAILED),
}
HOWS = ("good", "failed", "skipped", "optional", "broken optional", "behind a failure")


def _before(how: str, name: str) -> tuple[list[d.Block], list[tuple[str, str]], str]:
    """Blocks that end in a way, their edges, and the name of the last one."""
    match how:
        case "broken optional":
            return [optional(step(f"broken-{name}"))], [], f"broken-{name}"
        case "failed":
            return [step(f"broken-{name}")], [], f"broken-{name}"
        case "behind a failure":
            return [step(f"broken-{name}"), step(name)], [(f"broken-{name}", name)], name
    return [made(how, name)], [], name


@pytest.mark.parametrize("on_error", [FAIL, FINISH])
@pytest.mark.parametrize("rule", AS_CONDITIONS, ids=d.TriggerRule.Name)
def test_every_other_rule_is_a_case_of_a_condition(
    rule: d.TriggerRule.ValueType, on_error: d.OnError.ValueType
) -> None:
    joins_all, kind = AS_CONDITIONS[rule]
    join = all_of if joins_all else any_of
    for seed, hows in enumerate(itertools.product(HOWS, repeat=2)):
        parts = [_before(how, name) for how, name in zip(hows, "ab", strict=True)]
        blocks = [block for each, _, _ in parts for block in each]
        edges = [edge for _, each, _ in parts for edge in each]
        names = [name for _, _, name in parts]
        found = []
        ruled = step("after")
        ruled.trigger = rule
        by_condition = started_by("after", join(*(end(name, kind) for name in names)))
        for after in (ruled, by_condition):
            body = graph(
                *blocks, after, step("last"), *edges, *((name, "after") for name in names),
                ("after", "last"),
            )  # fmt: skip
            driver = played(body, on_error, seed=seed)
            found.append((ends(driver), t.short(driver.state.status)))
        # Alone among the rules, ANY_SUCCEEDED fails after failures in place of being skipped.
        if found[0][0]["after"] == "FAILED":
            assert found[1][0]["after"] == "SKIPPED", hows
            assert found[0][1] == found[1][1] == "FAILED"
        else:
            assert found[0] == found[1], hows


def _problems(*changes: d.StartCondition, trigger: bool = True) -> list[str]:
    blocks = [step("a"), step("b"), step("other"), step("after")]
    if trigger:
        blocks[3].trigger = d.TRIGGER_RULE_CONDITION
    for condition in changes:
        blocks[3].start.CopyFrom(condition)
    return validate(workflow(graph(*blocks, ("a", "after"), ("b", "after"))))


def _nested(depth: int) -> d.StartCondition:
    condition = all_of(end("a", ENDED), end("b", ENDED))
    for _ in range(depth):
        condition = any_of(condition, end("a", FAILED))
    return condition


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        (end("a", SUCCEEDED), "does not name 'b', which comes right before it"),
        (
            all_of(end("a", ENDED), end("b", ENDED), end("other", ENDED)),
            "names 'other', which does not come right before it",
        ),
        (d.StartCondition(), "is empty in a place"),
        (all_of(end("a", ENDED), any_of()), "is empty in a place"),
        (all_of(end("a", ENDED), d.StartCondition(end=d.BlockEnd(block="b"))), "how a block ends"),
        (_nested(MOST_DEPTH), f"is nested deeper than {MOST_DEPTH}"),
        (all_of(end("b", ENDED), *[end("a", ENDED)] * MOST_ENDS), f"the limit is {MOST_ENDS}"),
    ],
)
def test_a_condition_that_cannot_be_is_refused(condition: d.StartCondition, problem: str) -> None:
    (found,) = _problems(condition)
    assert found.startswith("after: ")
    assert problem in found


def test_a_rule_without_its_condition_and_a_condition_without_its_rule_are_refused() -> None:
    assert _problems() == ["after: its rule is CONDITION, and it has no condition"]
    (found,) = _problems(all_of(end("a", ENDED), end("b", ENDED)), trigger=False)
    assert found == "after: it has a condition, and its rule is not CONDITION"
    assert not _problems(_nested(MOST_DEPTH - 1))


def test_a_condition_reads_as_it_was_written() -> None:
    condition = all_of(end("load", SUCCEEDED), any_of(end("a", FAILED), end("b", SKIPPED)))
    assert describe(condition) == "load succeeded and (a failed or b skipped)"
