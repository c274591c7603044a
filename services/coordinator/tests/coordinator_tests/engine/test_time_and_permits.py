"""Retries, time-outs, deadlines, permits, memoization and exclusive steps."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.actions import (
    GrantLease,
    LookUpMemo,
    ReleasePermits,
    RememberStep,
    RequestStep,
    TakePermits,
    Timer,
    WriteManifests,
)
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import (
    AttemptTimedOut,
    Cancel,
    Failed,
    HandedBack,
    LeaseExpired,
    ManifestsWritten,
    Mark,
    MemoFound,
    MemoMissed,
    Pause,
    PermitsGranted,
    Restart,
    Resume,
    Retry,
    Start,
    Started,
    Stopped,
    Succeeded,
)
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaon_wire.definitions.retry_rules import matching_rule
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import chain, fan, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure

BY = {"reason": "because", "requester": "me"}


def works(_: object) -> dict[str, object]:
    return {"out": 1}


def begun(*blocks: d.Block) -> Driver:
    driver = Driver(workflow(chain(*blocks)), works)
    driver.tell(Start())
    return driver


def error(kind: str) -> step_pb2.StepError:
    return step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type=kind, message="no")


def waits(driver: Driver) -> list[int]:
    return [
        e.step_retry_scheduled.retry_time_us - e.time_us
        for e in driver.history
        if e.HasField("step_retry_scheduled")
    ]


@pytest.mark.parametrize(
    ("kind", "attempts", "first_wait"),
    [
        ("OSError", 3, 5_000_000),
        ("OSError.Disk", 3, 5_000_000),
        ("KeyError", 1, None),
        ("Other", 2, 1_000_000),
    ],
)
def test_the_first_rule_that_matches_the_errors_type_decides(
    kind: str, attempts: int, first_wait: int | None
) -> None:
    block = step("s", attempts=2)
    block.step.retry.rules.add(error_type="KeyError", max_attempts=1)
    block.step.retry.rules.add(error_type="OSError*", max_attempts=3, backoff_ms=5_000)
    ran: list[int] = []

    def behave(state):  # type: ignore[no-untyped-def]
        ran.append(state.attempt)
        return error(kind)

    driver = Driver(workflow(chain(block)), behave)
    driver.run()
    assert len(ran) == attempts
    assert waits(driver)[:1] == ([first_wait] if first_wait else [])


def test_jitter_is_drawn_once_and_stands_in_the_event() -> None:
    block = step("s", attempts=6)
    block.step.retry.jitter = 0.5
    driver = Driver(workflow(chain(block)), lambda _: error("X"), seed=4)
    driver.run()
    shares = [wait / (1_000_000 * 2**number) for number, wait in enumerate(waits(driver))]
    assert all(0.5 <= share <= 1.5 for share in shares)
    assert len(set(shares)) == 5
    driver.check_replay()


def test_an_attempt_that_takes_too_long_is_stopped_and_the_next_has_all_its_time() -> None:
    driver = begun(step("s", attempts=2, timeout_ms=1_000))
    driver.tell(Started(lease=driver.lease("s")))
    driver.tell(AttemptTimedOut(issue=StepIssue(path="s", attempt=1, generation=1)))
    driver.tell(Stopped(lease=driver.lease("s")))
    assert driver.state.steps["s"].status == t.PENDING
    driver.drain()
    assert driver.state.steps["s"].attempt == 2
    assert driver.state.status == t.SUCCEEDED


@pytest.mark.parametrize("when", ["ready", "running", "retry"])
def test_a_steps_time_counts_over_all_its_attempts_and_waits(when: str) -> None:
    block = step("s", attempts=9)
    block.timeout_ms = 1_000
    driver = begun(block)
    if when != "ready":
        driver.tell(Started(lease=driver.lease("s")))
    if when == "retry":
        driver.tell(Failed(lease=driver.lease("s"), error=failure()))
    driver.take_over()
    driver.let_time_pass(Timer.TIMEOUT, "s")
    if when == "running":
        driver.tell(Stopped(lease=driver.lease("s")))
    assert driver.state.steps["s"].status == t.TIMED_OUT
    assert driver.state.status == t.FAILED
    driver.check_replay()


@pytest.mark.parametrize("kind", ["for_each", "repeat", "group"])
def test_a_blocks_time_stops_everything_in_it(kind: str) -> None:
    block = {
        "for_each": for_each("x", literal([1, 2]), chain(step("s")), at_once=1),
        "repeat": repeat("x", chain(step("s")), output("s")),
        "group": d.Block(name="x", group=d.Group(body=chain(step("s"), step("u")))),
    }[kind]
    block.timeout_ms = 1_000
    driver = begun(block)
    driver.let_time_pass(Timer.TIMEOUT, "x")
    driver.drain()
    assert driver.state.blocks["x"].status == t.TIMED_OUT
    assert driver.state.status == t.FAILED
    assert driver.state.error is not None
    assert driver.state.error.message == "x took longer than allowed"


def test_a_run_that_timed_out_has_all_its_time_again_when_it_is_retried() -> None:
    definition = workflow(chain(step("s")))
    definition.timeout_ms = 1_000
    driver = Driver(definition, works)
    driver.tell(Start())
    driver.let_time_pass(Timer.TIMEOUT)
    assert driver.state.status == t.TIMED_OUT
    driver.requested.clear()
    driver.now_us += 50_000_000
    driver.tell(Retry(path="", **BY))
    driver.take_over()
    assert driver.watched[-1].due_us == driver.now_us + 1_000_000
    driver.drain()
    assert driver.state.status == t.SUCCEEDED


def test_a_missed_deadline_is_told_once_and_stops_nothing() -> None:
    block = step("s")
    block.deadline_ms = 1_000
    definition = workflow(chain(block))
    definition.deadline_ms = 2_000
    driver = Driver(definition, works)
    driver.tell(Start())
    driver.let_time_pass(Timer.DEADLINE, "s")
    driver.take_over()
    driver.watched.clear()
    assert [
        a
        for a in derive(driver.state)
        if getattr(a, "timer", None) == Timer.DEADLINE and a.path == "s"
    ] == []
    driver.drain()
    missed = [e.deadline_missed.path for e in driver.history if e.HasField("deadline_missed")]
    assert missed == ["s"]
    assert driver.state.status == t.SUCCEEDED
    driver.check_replay()


def test_a_deadline_of_an_earlier_life_does_not_count() -> None:
    block = step("s")
    block.deadline_ms = 1_000
    driver = begun(block)
    (old,) = [each for each in driver.watched if each.timer == Timer.DEADLINE]
    driver.drain()
    driver.tell(Restart(path="s", **BY))
    driver.watched.append(old)
    assert driver.let_time_pass(Timer.DEADLINE, "s").events == []


# --- permits --------------------------------------------------------------------------------------------------------


def tagged(name: str = "s") -> d.Block:
    block = step(name)
    block.step.tags.append("gold")
    return block


def with_permit() -> Driver:
    driver = begun(tagged())
    assert driver.asked(TakePermits) == [TakePermits(path="s", asked=2, keys=("tag:gold",))]
    assert driver.requested == []
    driver.tell(PermitsGranted(path="s", asked=driver.question("s")))
    assert driver.requested == ["s"]
    driver.asked(ReleasePermits)
    return driver


@pytest.mark.parametrize(
    "end",
    [
        "succeeded",
        "failed",
        "cancelled",
        "marked",
        "quarantined",
        "handed back and skipped",
        "timed out",
    ],
)
def test_permits_are_given_back_however_the_step_ends(end: str) -> None:
    driver = with_permit()
    lease = driver.lease("s")
    if end not in {"handed back and skipped", "timed out"}:
        driver.tell(Started(lease=lease))
    match end:
        case "succeeded":
            driver.tell(Succeeded(lease=lease, outputs={"out": "1"}))
        case "failed":
            driver.tell(Failed(lease=lease, error=failure()))
        case "cancelled":
            driver.tell(Cancel(**BY))
            assert driver.asked(ReleasePermits) == []
            driver.tell(Stopped(lease=lease))
        case "marked":
            driver.tell(Mark(path="s", status=t.FAILED, outputs={}, **BY))
        case "quarantined":
            for generation in (1, 2, 3):
                driver.tell(Started(lease=driver.lease("s")))
                driver.tell(
                    LeaseExpired(issue=StepIssue(path="s", attempt=1, generation=generation))
                )
        case "handed back and skipped":
            driver.tell(HandedBack(lease=lease, reason="full"))
            assert driver.asked(ReleasePermits) == []
            driver.tell(Cancel(path="s", skip=True, **BY))
        case _:
            driver.tell(Cancel(**BY))
    assert driver.state.ended
    assert ReleasePermits(path="s") in driver.asked(ReleasePermits)


def test_permits_are_kept_over_the_wait_for_the_next_attempt() -> None:
    block = tagged()
    block.step.retry.max_attempts = 2
    driver = begun(block)
    driver.tell(PermitsGranted(path="s", asked=driver.question("s")))
    driver.tell(Failed(lease=driver.lease("s"), error=failure()))
    assert driver.asked(ReleasePermits) == []


def test_permits_that_come_too_late_go_back() -> None:
    driver = begun(tagged(), step("after"))
    driver.tell(Cancel(path="s", skip=True, **BY))
    driver.asked(ReleasePermits)
    driver.tell(PermitsGranted(path="s", asked=driver.question("s")))
    assert driver.asked(ReleasePermits) == [ReleasePermits(path="s")]


def test_permits_whose_grant_was_lost_with_the_last_owner_go_back_when_the_step_never_begins() -> (
    None
):
    driver = Driver(workflow(fan(tagged(), step("b"), step("c"))), lambda s: failure())
    driver.tell(Start())
    driver.take_over()
    driver.asked(ReleasePermits)
    driver.execute("b")
    assert driver.state.ended
    assert ReleasePermits(path="s") in driver.asked(ReleasePermits)


def test_a_step_that_gets_its_permits_in_a_pause_asks_again_after_it() -> None:
    driver = begun(tagged())
    driver.tell(Pause(**BY))
    driver.asked(TakePermits)
    driver.tell(PermitsGranted(path="s", asked=driver.question("s")))
    assert driver.asked(ReleasePermits) == [ReleasePermits(path="s")]

    driver.tell(Resume(**BY))
    assert len(driver.asked(TakePermits)) == 1


# --- memoization ----------------------------------------------------------------------------------------------------


def memoized(x: object, salt: str = "") -> d.Block:
    block = step("s", x=literal(x))
    block.step.memo.enabled, block.step.memo.salt, block.step.memo.max_age_ms = True, salt, 7
    return block


def key_of(x: object, salt: str = "") -> str:
    (asked,) = begun(memoized(x, salt)).asked(LookUpMemo)
    assert asked.max_age_ms == 7
    return asked.key


def test_the_key_of_an_execution_goes_by_content_and_not_by_place() -> None:
    here = {"artifact": {"uri": "file:///a", "digest": "sha256:1"}}
    there = {"artifact": {"uri": "s3://b", "digest": "sha256:1"}}
    other = {"artifact": {"uri": "file:///a", "digest": "sha256:2"}}
    assert key_of([here]) == key_of([there]) != key_of([other])
    assert key_of(1) != key_of(2)
    assert key_of(1) != key_of(1, salt="new")


def test_the_code_of_a_step_counts_in_place_of_all_code_where_the_definition_tells_it() -> None:
    keys = []
    for code in ("", "sha256:1", "sha256:2"):
        block = memoized(1)
        block.step.memo.code_digest = code
        (asked,) = begun(block).asked(LookUpMemo)
        keys.append(asked.key)
    assert keys[0] == key_of(1)
    assert len(set(keys)) == 3


def test_the_name_of_an_artifact_counts_for_a_step_may_read_it() -> None:
    table = {"uri": "file:///a", "digest": "sha256:1"}
    keys = [key_of({"artifact": table | {"name": name}}) for name in ("1.csv", "2.csv", "1.csv")]
    assert keys[0] == keys[2] != keys[1]
    # What was remembered of artifacts without a name, before there were names, is found as ever.
    assert key_of({"artifact": table | {"name": ""}}) == key_of({"artifact": table})
    assert key_of({"artifact": table}) == key_of({"artifact": "sha256:1"})


def test_an_equal_execution_gives_its_outputs_and_is_named() -> None:
    driver = begun(memoized(1))
    (asked,) = driver.asked(LookUpMemo)
    found = MemoFound(
        path="s",
        asked=asked.asked,
        key=asked.key,
        outputs={"out": "9"},
        run_id="r0",
        source_path="p",
    )
    driver.tell(found)
    assert driver.state.status == t.SUCCEEDED
    assert driver.state.steps["s"].memo_source == ("r0", "p")
    assert driver.requested == []
    driver.check_replay()
    driver.take_over()


def test_without_an_equal_execution_the_step_runs_and_is_remembered_once_it_has_succeeded() -> None:
    driver = begun(memoized(1))
    (asked,) = driver.asked(LookUpMemo)
    driver.tell(MemoMissed(path="s", asked=driver.question("s"), key="another"))
    assert driver.requested == []
    driver.tell(MemoMissed(path="s", asked=driver.question("s"), key=asked.key))
    driver.drain()
    assert driver.asked(RememberStep) == [
        RememberStep(path="s", key=asked.key, outputs={"out": "1"})
    ]


def test_an_execution_with_other_outputs_than_declared_is_not_used() -> None:
    driver = begun(memoized(1))
    (asked,) = driver.asked(LookUpMemo)
    driver.tell(
        MemoFound(
            path="s",
            asked=driver.question("s"),
            key=asked.key,
            outputs={"old": "9"},
            run_id="r0",
            source_path="p",
        )
    )
    assert driver.requested == ["s"]


def test_large_inputs_become_artifacts_before_the_step_is_requested() -> None:
    driver = Driver(workflow(chain(step("s", big=literal("x" * 50), small=literal(1)))), works)
    driver.limits = Limits(inline_input_bytes=20)
    driver.tell(Start())
    (asked,) = driver.asked(WriteManifests)
    assert list(asked.values) == ["big"]
    assert driver.requested == []
    driver.tell(
        ManifestsWritten(path="s", asked=driver.question("s"), inputs={"big": '{"artifact":{}}'})
    )
    assert driver.state.steps["s"].inputs == {"big": '{"artifact":{}}', "small": "1"}
    assert driver.requested == ["s"]


# --- exclusive steps ------------------------------------------------------------------------------------------------

LEASE_AND_GRACE_US = Limits().exclusive_wait_us


def exclusive() -> d.Block:
    block = step("s")
    block.step.exclusive = True
    return block


def test_an_exclusive_step_is_granted_at_once_when_nobody_held_it_before() -> None:
    driver = begun(exclusive())
    driver.tell(Started(lease=driver.lease("s")))
    assert [each.issue.generation for each in driver.asked(GrantLease)] == [1]


def test_after_an_expiry_the_next_holder_is_granted_when_the_last_one_must_have_stopped() -> None:
    driver = begun(exclusive())
    driver.tell(Started(lease=driver.lease("s")))
    driver.asked(GrantLease)
    driver.tell(LeaseExpired(issue=StepIssue(path="s", attempt=1, generation=1)))
    lost_us = driver.now_us
    driver.tell(Started(lease=driver.lease("s", "b")))
    assert driver.asked(GrantLease) == []
    driver.take_over()
    driver.let_time_pass(Timer.GRANT, "s")
    assert [each.incarnation for each in driver.asked(GrantLease)] == ["b"]
    assert driver.now_us >= lost_us + LEASE_AND_GRACE_US


@pytest.mark.parametrize("how", ["restarted", "its cell dropped", "marked by hand"])
def test_the_wait_after_an_expiry_outlives_what_becomes_of_the_step(how: str) -> None:
    driver = begun(for_each("f", literal([1]), chain(exclusive())))
    path = "f[1]/s"
    driver.tell(Started(lease=driver.lease(path)))
    if how == "marked by hand":
        driver.tell(Mark(path=path, status=t.FAILED, outputs={}, **BY))
    else:
        driver.tell(Cancel(path="f", skip=True, **BY))
        driver.tell(LeaseExpired(issue=StepIssue(path=path, attempt=1, generation=1)))
    assert driver.state.ended
    driver.asked(GrantLease)
    driver.take_over()
    driver.tell(Restart(path="f" if how == "its cell dropped" else path, **BY))
    driver.take_over()
    assert driver.asked(RequestStep)
    driver.tell(Started(lease=driver.lease(path, "b")))
    assert driver.asked(GrantLease) == []
    driver.let_time_pass(Timer.GRANT, path)
    assert [each.incarnation for each in driver.asked(GrantLease)] == ["b"]


def test_values_stay_canonical_json() -> None:
    driver = begun(step("s", x=literal({"b": 1, "a": [1.5, None]})))
    driver.drain()
    assert driver.state.steps["s"].inputs["x"] == canonical.dumps({"a": [1.5, None], "b": 1})


@pytest.mark.parametrize(
    ("rules", "bases", "attempts"),
    [
        ({"OSError": 3}, ["ConnectionError", "OSError", "Exception"], 3),
        ({"Exception": 1, "OSError": 3}, ["ConnectionError", "OSError", "Exception"], 3),
        (
            {"OSError": 3, "ConnectionRefusedError": 1},
            ["ConnectionError", "OSError", "Exception"],
            1,
        ),
        ({"Connection*": 3}, ["ConnectionError"], 3),
        # As in histories from before errors named their base classes.
        ({"OSError": 3}, [], 2),
    ],
)
def test_a_retry_rule_covers_subclasses_and_the_nearest_class_counts(
    rules: dict[str, int], bases: list[str], attempts: int
) -> None:
    policy = d.RetryPolicy(max_attempts=2)
    for name, most in rules.items():
        policy.rules.add(error_type=name, max_attempts=most)
    rule = matching_rule(
        policy, step_pb2.StepError(type="ConnectionRefusedError", type_bases=bases)
    )
    assert (rule.max_attempts if rule is not None else policy.max_attempts) == attempts
