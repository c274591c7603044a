"""What can be said about blocks and steps, and what comes of it in a run."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import FLOWS

from kaon import (
    Part,
    Retry,
    Workflow,
    approval,
    branch,
    each,
    expr,
    group,
    outcome,
    repeat,
    run_info,
    signal,
    steps,
    timer,
    when,
)
from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2

sys.path.insert(0, str(FLOWS / "options"))
import acting

sys.path.pop(0)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_names = itertools.count()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = EmbeddedSettings(state=tmp_path_factory.mktemp("options"), slots=3)
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        yield client


def give(name: str, value: Any = 1, **rest: Any) -> steps.Step:
    return steps.python(name, acting.give, value=value, outputs={"value": object}, **rest)


def stay(name: str = "stay", **rest: Any) -> steps.Step:
    return steps.python(name, acting.stay, outputs={"value": object}, **rest)


def submitted(client: Client, body: Part, **rest: Any) -> str:
    workflow = Workflow(f"options-{next(_names)}", body, root=FLOWS / "options", **rest)
    return client.submit(workflow).run.run_id


def ended(client: Client, run_id: str) -> run_service_pb2.GetRunResponse:
    for _ in client.watch(run_id):
        pass
    return client.run(run_id)


def run(client: Client, body: Part, **rest: Any) -> run_service_pb2.GetRunResponse:
    return ended(client, submitted(client, body, **rest))


def status(found: run_service_pb2.GetRunResponse, path: str = "") -> str:
    views: list[Any] = [*found.steps, *found.blocks]
    value = found.run.status if not path else {view.path: view.status for view in views}[path]
    return run_pb2.Status.Name(value).removeprefix("STATUS_")


def facts(client: Client, run_id: str, kind: str) -> list[Any]:
    return [getattr(event, kind) for event in client.history(run_id) if event.HasField(kind)]


def seen(client: Client, run_id: str, kind: str, path: str) -> history_pb2.HistoryEvent:
    """The first event of this kind about this path."""
    for update in client.watch(run_id):
        if update.event.HasField(kind) and getattr(update.event, kind).path == path:
            return update.event
    raise AssertionError(f"the run ended, and there was no {kind} of {path}")


@pytest.mark.parametrize(
    ("on_timeout", "gate", "after", "value"),
    [
        ("approve", "SUCCEEDED", "SUCCEEDED", True),
        ("skip", "SKIPPED", "SUCCEEDED", None),
        ("reject", "FAILED", "SKIPPED", None),
        ("fail", "TIMED_OUT", "SKIPPED", None),
    ],
)
def test_an_approval_that_nobody_answers_ends_as_it_says(
    client: Client, on_timeout: str, gate: str, after: str, value: bool | None
) -> None:
    asked = approval("asked", timeout="200ms", on_timeout=on_timeout)
    found = run(client, asked >> give("after", asked["approved"]))
    assert (status(found, "asked"), status(found, "after")) == (gate, after)
    if after == "SUCCEEDED":
        assert json.loads(found.steps[0].outputs_json["value"]) == value


def test_a_rejection_that_fails_nothing_is_for_a_branch_to_look_at(client: Client) -> None:
    asked = approval("asked", timeout="100ms", on_timeout="reject", reject_fails=False)
    found = run(client, asked >> branch(when(asked["approved"], give("yes")), otherwise=give("no")))
    assert {step.path for step in found.steps if step.status == run_pb2.STATUS_SUCCEEDED} == {
        "branch=else/no"
    }


def test_a_signal_that_does_not_come_has_its_default(client: Client) -> None:
    awaited = signal("awaited", timeout="100ms", default={"rows": 7})
    found = run(
        client, awaited >> timer("short", after="50ms") >> give("after", awaited["payload"]["rows"])
    )
    assert found.steps[0].outputs_json["value"] == "7"


def test_a_step_that_takes_too_long_in_all_is_stopped(client: Client) -> None:
    found = run(client, stay(total_timeout="300ms", retry=3))
    assert (status(found, "stay"), status(found)) == ("TIMED_OUT", "FAILED")


def test_a_group_that_takes_too_long_is_stopped_and_its_hooks_run(client: Client) -> None:
    body = group(
        stay(), name="bounded", timeout="300ms", finally_=give("tidy", outcome()["status"])
    )
    found = run(client, body)
    assert status(found, "bounded") == "TIMED_OUT"
    assert {step.path: step.outputs_json.get("value") for step in found.steps}[
        "bounded/tidy"
    ] == '"TIMED_OUT"'


def test_a_run_that_takes_too_long_is_stopped_and_its_hooks_run(client: Client) -> None:
    found = run(client, stay(), timeout="300ms", finally_=give("tidy", run_info()["id"]))
    assert status(found) == "TIMED_OUT"
    assert {step.path: step.outputs_json.get("value") for step in found.steps}[
        "tidy"
    ] == f'"{found.run.run_id}"'


def test_what_is_late_is_reported_and_goes_on(client: Client) -> None:
    run_id = submitted(client, stay(deadline="100ms"), deadline="150ms")
    seen(client, run_id, "deadline_missed", "")
    client.signal(run_id, "go", 3, path="stay")
    found = ended(client, run_id)
    assert (status(found), found.run.late) == ("SUCCEEDED", True)
    assert [fact.path for fact in facts(client, run_id, "deadline_missed")] == ["stay", ""]


@pytest.mark.parametrize(("kind", "attempts"), [("ValueError", 1), ("OSError", 3)])
def test_errors_are_retried_by_their_class(client: Client, kind: str, attempts: int) -> None:
    retry = Retry(max_attempts=2, backoff="10ms", jitter=0.5, rules={ValueError: 1, "OS*": 3})
    found = run(client, steps.python("fail", acting.fail, kind=kind, retry=retry))
    assert (found.steps[0].attempt, status(found)) == (attempts, "FAILED")


def test_no_more_steps_of_a_tag_run_at_once_than_there_are_permits(
    client: Client, tmp_path: Path
) -> None:
    client.schedules.set_permits("narrow", 1)
    note = tmp_path / "note"
    number = each("number", list(range(6)))
    work = steps.python(
        "work", acting.pass_by, note=str(note), tags=["narrow"], inputs={}, isolation="process"
    )
    assert status(run(client, work**number)) == "SUCCEEDED"
    assert note.read_text() == "+-" * 6
    client.schedules.set_permits("narrow", 0)


def test_no_more_runs_of_a_workflow_are_active_than_it_says(client: Client) -> None:
    workflow = Workflow("one-at-a-time", stay(), root=FLOWS / "options", max_active_runs=1)
    first, second = (client.submit(workflow).run.run_id for _ in range(2))
    seen(client, first, "step_leased", "stay")
    assert client.run(second).run.status == run_pb2.STATUS_PENDING
    client.signal(first, "go", path="stay")
    seen(client, second, "step_leased", "stay")
    assert client.run(first).run.status == run_pb2.STATUS_SUCCEEDED
    client.signal(second, "go", path="stay")
    assert status(ended(client, second)) == "SUCCEEDED"


def test_a_repeat_waits_between_its_passes(client: Client) -> None:
    step = steps.python("pass", acting.count, outputs={"value": int})
    body = repeat(
        step, until=expr("n >= 3", n=step["value"]), max_iterations=5, backoff="100ms", factor=2
    )
    run_id = submitted(client, body)
    assert status(ended(client, run_id)) == "SUCCEEDED"
    times = {
        event.pass_scheduled.number: event
        for event in client.history(run_id)
        if event.HasField("pass_scheduled")
    }
    waits = [(event.pass_scheduled.due_us - event.time_us) / 1000 for event in times.values()]
    assert waits == [pytest.approx(100, abs=1), pytest.approx(200, abs=1)]


def test_rules_of_when_to_start_look_at_how_others_have_ended(client: Client) -> None:
    good, bad = give("good"), steps.python("bad", acting.fail, kind="OSError")
    skipped = branch(when(expr("false"), give("never")), name="skipped")
    body = (
        ((good | bad) >> give("done").when_all_done())
        | ((good | bad) >> give("any").when_any())
        | (skipped >> give("all").when_all_succeeded())
        | (skipped >> give("passed"))
    )
    found = run(client, body)
    assert {path: status(found, path) for path in ("done", "any", "all", "passed")} == {
        "done": "SUCCEEDED",
        "any": "SUCCEEDED",
        "all": "SKIPPED",
        "passed": "SUCCEEDED",
    }
    assert status(found) == "SUCCEEDED"


def test_hooks_of_a_run_that_is_cancelled_run_unless_it_is_forced(client: Client) -> None:
    for force, hook in ((False, "SUCCEEDED"), (True, "")):
        run_id = submitted(client, stay(), finally_=give("tidy"))
        seen(client, run_id, "step_leased", "stay")
        client.cancel(run_id, force=force)
        found = ended(client, run_id)
        assert status(found) == "CANCELLED"
        tidied = [step for step in found.steps if step.path == "tidy" and step.attempt]
        assert [run_pb2.Status.Name(step.status) for step in tidied] == (
            [f"STATUS_{hook}"] if hook else []
        )


def test_a_signal_that_comes_before_its_gate_is_kept_for_it(client: Client) -> None:
    early = signal("early")
    run_id = submitted(client, stay() >> early >> give("after", early["payload"]))
    seen(client, run_id, "step_leased", "stay")
    client.signal(run_id, "early", 5)
    client.signal(run_id, "go", path="stay")
    found = ended(client, run_id)
    assert {step.path: step.outputs_json["value"] for step in found.steps}["after"] == "5"
