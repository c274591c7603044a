"""The small examples: each can be built, and each runs in one process."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kaon import Workflow, load_workflow
from kaon.cli import schedule_file
from kaon.client import Client, Endpoints
from kaon_coordinator.notifications.channels import read_channels
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.schedule.v1 import schedule_pb2

EXAMPLES = Path(__file__).parents[1]
NAMES = [
    "alarms",
    "calling",
    "concurrency",
    "events",
    "failures",
    "gates",
    "hooks",
    "memo",
    "schedule",
    "subworkflow",
    "sweep",
    "tour",
    "outcomes",
    "policies",
    "polling",
    "values",
    "parameters",
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Workflow]:
    """Loads the workflow of an example, and leaves no trace on the module path."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    return lambda name: load_workflow(EXAMPLES / name / "workflow.py")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSystem]:
    settings = EmbeddedSettings(state=tmp_path_factory.mktemp("examples"), slots=2)
    with EmbeddedSystem(settings) as system:
        yield system


@pytest.fixture
def client(system: EmbeddedSystem) -> Iterator[Client]:
    with Client(Endpoints(server=system.address, principal="ada", roles=("owner",))) as client:
        yield client


def ended(client: Client, run_id: str) -> run_service_pb2.GetRunResponse:
    """The run after its end."""
    for _ in client.watch(run_id):
        pass
    return client.run(run_id)


def waits(client: Client, run_id: str, path: str) -> None:
    """Returns when the gate waits."""
    for update in client.watch(run_id):
        if update.event.block_started.path == path:
            return
    raise AssertionError(f"the run ended, and {path} never waited")


def test_the_channels_of_the_example_are_those_that_it_names(
    load: Callable[[str], Workflow],
) -> None:
    channels = read_channels(str(EXAMPLES / "notifications" / "channels.toml"))
    named = {each.channel for each in load("notifications").definition().notifications}
    assert named == set(channels.by_name)


def test_modules_of_examples_have_names_of_their_own() -> None:
    """All of them are loaded in one process, and so are those that tests share."""
    own = [path.stem for name in NAMES for path in EXAMPLES.glob(f"{name}/*.py")]
    own = [name for name in own if name != "workflow"]
    shared = [path.stem for path in (EXAMPLES.parent / "tests").glob("*.py")]
    assert sorted(own) == sorted(set(own) - set(shared))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_can_be_built(load: Callable[[str], Workflow], name: str) -> None:
    workflow = load(name)
    assert workflow.definition().code_bundle == workflow.bundle().digest


def test_gates_wait_for_a_signal_a_time_and_somebody(
    load: Callable[[str], Workflow], client: Client
) -> None:
    run_id = client.submit(load("gates")).run.run_id
    waits(client, run_id, "data-ready")
    client.signal(run_id, "data-ready", {"ratings": [3, 4, 5]})
    waits(client, run_id, "release")
    client.answer(
        run_id, "release", approved=True, comment="looks good", values={"channel": "stable"}
    )
    run = ended(client, run_id).run
    assert dict(run.outputs_json) == {"text": '"mean 4.00, released by ada to stable"'}


def test_one_signal_lets_all_runs_of_its_day_go_on(client: Client) -> None:
    workflow = load_workflow(EXAMPLES / "gates" / "ratings.py")
    days = ("2026-01-01", "2026-01-02", "2026-01-02")
    other, *runs = [client.submit(workflow, {"day": day}).run.run_id for day in days]
    for run_id in (other, *runs):
        waits(client, run_id, "ratings")
    payload = {"day": "2026-01-02", "ratings": [3, 4, 5]}
    answer = client.signal_all("ratings", payload, key="ratings-of-the-second")
    assert (answer.runs, answer.waiting, answer.created) == (2, 2, True)
    assert [dict(ended(client, run_id).run.outputs_json) for run_id in runs] == [
        {"mean": "4.0"}
    ] * 2
    assert client.signal_all("ratings", payload, key="ratings-of-the-second").created is False
    (gate,) = client.run(other).blocks
    assert (gate.status, gate.where_cel) == (
        run_pb2.STATUS_WAITING,
        "payload.day == params.day",
    )
    client.cancel(other)


def test_a_step_waits_at_a_breakpoint_with_its_inputs(
    load: Callable[[str], Workflow], client: Client
) -> None:
    run_id = client.submit(load("gates")).run.run_id
    waits(client, run_id, "data-ready")
    assert list(client.set_breakpoint(run_id, "load").breakpoints) == ["load"]
    client.signal(run_id, "data-ready", {"ratings": [3, 4, 5]})
    for update in client.watch(run_id):
        if update.event.breakpoint_reached.path == "load":
            break
    (step,) = [step for step in client.run(run_id).steps if step.path == "load"]
    assert (step.status, step.at_breakpoint) == (run_pb2.STATUS_PENDING, True)
    assert dict(step.inputs_json) == {"ratings": "[3.0,4.0,5.0]"}
    why = client.why(run_id, "load")
    assert [reason.cause for reason in why.reasons] == [runner_pb2.WAIT_CAUSE_BREAKPOINT]
    client.pass_breakpoint(run_id, "load")
    waits(client, run_id, "release")
    client.answer(run_id, "release", approved=True)
    assert ended(client, run_id).run.status == run_pb2.STATUS_SUCCEEDED


def test_a_report_waits_for_the_run_of_its_day_and_takes_its_outputs(
    load: Callable[[str], Workflow], client: Client
) -> None:
    run_id = client.submit(load("events"), {"day": "2026-01-07"}).run.run_id
    waits(client, run_id, "sales")
    (waiting,) = client.run(run_id).blocks
    assert waiting.message == 'a successful run of daily-sales with day="2026-01-07"'
    client.submit(load("schedule"), {"day": "2026-01-08"})
    sales = client.submit(load("schedule"), {"day": "2026-01-07"}).run.run_id
    text = f'"2026-01-07: 14 sold, says run {sales}"'
    assert ended(client, run_id).run.outputs_json["text"] == text
    # Another report of the day finds it at once.
    again = client.submit(load("events"), {"day": "2026-01-07"}).run.run_id
    assert ended(client, again).run.outputs_json["text"] == text


def test_a_schedule_with_several_triggers_follows_what_its_filter_keeps(
    load: Callable[[str], Workflow], client: Client
) -> None:
    for name in ("events", "schedule"):
        client.register(load(name))
    follow = schedule_file.read(EXAMPLES / "events" / "follow.toml")
    assert client.schedules.put(follow).schedule.HasField("next_time")
    today = datetime.now(UTC).date().isoformat()
    client.submit(load("schedule"), {"day": today})
    run = first_from(client, "schedule:report-when-sold")
    client.schedules.delete("report-when-sold")
    # In the time zone of the schedule it may be another day, whose sales it waits for.
    day = json.loads(client.run(run.run_id).run.params_json["day"])
    client.submit(load("schedule"), {"day": day})
    assert ended(client, run.run_id).run.outputs_json["text"].startswith(f'"{day}')


def test_an_update_of_a_dataset_starts_a_run_and_is_told_with_it(
    load: Callable[[str], Workflow], client: Client
) -> None:
    client.register(load_workflow(EXAMPLES / "events" / "announce.py"))
    client.schedules.put(schedule_file.read(EXAMPLES / "events" / "announce.toml"))
    report = client.submit(load("events"), {"day": "2026-01-09"}).run.run_id
    client.submit(load("schedule"), {"day": "2026-01-09"})
    assert ended(client, report).run.status == run_pb2.STATUS_SUCCEEDED
    told = first_from(client, "schedule:announce-sales")
    client.schedules.delete("announce-sales")
    announced = ended(client, told.run_id).run
    assert announced.params_json["day"] == '"2026-01-09"'
    assert announced.outputs_json["told"].startswith('"News: 2026-01-09')
    updates = client.datasets.updates("sales-reports", "2026-01-09")
    (update,) = [each for each in updates if each.run_id == report]
    assert list(update.started_run_ids) == [told.run_id]
    (producer,) = client.datasets.get("sales-reports").producers
    assert (producer.workflow, producer.path) == ("sales-report", "report")


def test_runs_follow_one_another_and_regions_are_locked(
    load: Callable[[str], Workflow], client: Client
) -> None:
    workflow = load("concurrency")
    first, second = (client.submit(workflow).run.run_id for _ in range(2))
    found = [ended(client, run_id).run for run_id in (first, second)]
    assert [dict(run.outputs_json) for run in found] == [{"stored": "[20,20,40]"}] * 2
    assert found[0].end_time.ToMicroseconds() <= found[1].start_time.ToMicroseconds()


def test_sub_workflows_have_runs_of_their_own(
    load: Callable[[str], Workflow], client: Client
) -> None:
    run = ended(client, client.submit(load("subworkflow")).run.run_id)
    assert run.run.status == run_pb2.STATUS_SUCCEEDED, run.run.error
    children = [client.run(block.child_run_id).run for block in run.blocks if block.child_run_id]
    assert {child.parent_run_id for child in children} == {run.run.run_id}
    assert len(children) == 3
    assert float(run.run.outputs_json["best"]) == max(
        float(child.outputs_json["score"]) for child in children
    )


def test_other_workflows_are_called_with_a_memo_with_parameters_and_without_waiting(
    load: Callable[[str], Workflow], client: Client
) -> None:
    params = {"region": "APAC", "day": "2026-11-07"}
    first, second = (
        ended(client, client.submit(load("calling"), params).run.run_id) for _ in range(2)
    )
    for found in (first, second):
        assert found.run.status == run_pb2.STATUS_SUCCEEDED, found.run.error
        assert found.run.outputs_json["rows"] == "28"
        called = ended(client, json.loads(found.run.outputs_json["dashboard"])).run
        assert dict(called.outputs_json) == {"text": '"2026-11-07 after 0"'}
        assert (called.parent_run_id, called.origin) == ("", f"run:{found.run.run_id}")
    blocks = [{block.path: block for block in found.blocks} for found in (first, second)]
    assert blocks[0]["loaded"].child_run_id
    assert (blocks[1]["loaded"].memo_run_id, blocks[1]["loaded"].memo_path) == (
        first.run.run_id,
        "loaded",
    )


def test_policies_are_values_of_the_run(load: Callable[[str], Workflow], client: Client) -> None:
    params = {"zones": {"eu": 2, "us": 1, "asia": 3}, "attempts": 3}
    found = ended(client, client.submit(load("policies"), params).run.run_id)
    assert found.run.status == run_pb2.STATUS_SUCCEEDED, found.run.error
    assert json.loads(found.run.outputs_json["text"]) == "asia eu us: 3"
    bound = {step.path: dict(step.bound_json) for step in found.steps}
    assert bound["each-zone[asia]/train"] == {
        "step.priority": "3",
        "step.retry.max_attempts": "3",
        "step.tags": '["zone-asia"]',
        "step.timeout_ms": "120000",
    }
    (loop,) = [block for block in found.blocks if block.kind == "for_each"]
    assert dict(loop.bound_json) == {"for_each.max_concurrency": "3"}


def test_a_sweep_stops_trials_that_do_badly(
    load: Callable[[str], Workflow], client: Client
) -> None:
    run = ended(client, client.submit(load("sweep")).run.run_id).run
    assert run.status == run_pb2.STATUS_SUCCEEDED, run.error
    assert float(run.outputs_json["best"]) < 0.02
    assert int(run.outputs_json["stopped"]) >= 1


@pytest.mark.parametrize(
    ("rows", "status", "hooks"),
    [
        (0, run_pb2.STATUS_FAILED, {"alert", "clean-up"}),
        (100, run_pb2.STATUS_SUCCEEDED, {"clean-up"}),
    ],
)
def test_hooks_run_after_a_failure_and_always(
    load: Callable[[str], Workflow],
    client: Client,
    rows: int,
    status: run_pb2.Status.ValueType,
    hooks: set[str],
) -> None:
    run = ended(client, client.submit(load("hooks"), {"rows": rows}).run.run_id)
    assert run.run.status == status
    succeeded = {step.path for step in run.steps if step.status == run_pb2.STATUS_SUCCEEDED}
    assert succeeded & {"alert", "clean-up"} == hooks
    (removed,) = [
        line.text for lines in client.logs(run.run.run_id, "clean-up") for line in lines.lines
    ]
    assert (
        removed
        == f"{run_pb2.Status.Name(status).removeprefix('STATUS_')}: removed temporary_{rows}"
    )


def test_hooks_beside_a_step_start_while_it_goes_on_and_an_optional_one_fails_nothing(
    load: Callable[[str], Workflow], client: Client, tmp_path: Path
) -> None:
    params = {"place": str(tmp_path), "seconds": 2.0}
    found = ended(client, client.submit(load("alarms"), params).run.run_id)
    assert found.run.status == run_pb2.STATUS_SUCCEEDED, found.run.error
    ends = {step.path: run_pb2.Status.Name(step.status)[7:] for step in found.steps}
    hooks = ("begun", "retried", "late", "report")
    assert ends == dict.fromkeys(("train", *hooks), "SUCCEEDED") | {"remove": "FAILED"}


@pytest.mark.parametrize("broken", [True, False])
def test_what_does_not_depend_on_a_failure_goes_on(
    load: Callable[[str], Workflow], client: Client, broken: bool
) -> None:
    run = ended(client, client.submit(load("failures"), {"broken": broken}).run.run_id)
    ends = {step.path: run_pb2.Status.Name(step.status)[7:] for step in run.steps}
    assert run.run.status == run_pb2.STATUS_SUCCEEDED
    assert ends == {
        "load": "SUCCEEDED",
        "weather": "FAILED",
        "regions[de]/report": "SUCCEEDED",
        f"regions[{'broken' if broken else 'fr'}]/report": "FAILED" if broken else "SUCCEEDED",
        "regions[us]/report": "SUCCEEDED",
        "apologize": "SUCCEEDED" if broken else "SKIPPED",
        "archive": "SUCCEEDED",
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "download SKIPPED (nothing new to download), convert SKIPPED with code None"),
        (1, "download SUCCEEDED, convert SKIPPED with code 3"),
        (5, "download SUCCEEDED, convert SUCCEEDED with code 0"),
        (13, "download SUCCEEDED, convert FAILED with code 75"),
    ],
)
def test_later_steps_look_at_how_others_have_ended(
    load: Callable[[str], Workflow], client: Client, size: int, text: str
) -> None:
    run = ended(client, client.submit(load("outcomes"), {"size": size}).run.run_id)
    assert run.run.status == run_pb2.STATUS_SUCCEEDED, run.run.error
    assert dict(run.run.outputs_json) == {"text": f'"{text}"'}
    attempts = {step.path: step.attempt for step in run.steps}
    assert attempts["convert"] == (0 if size == 0 else 2 if size == 13 else 1)


@pytest.mark.parametrize(
    ("pages", "text"), [(0, "nothing to load"), (1, "0 pages left"), (3, "0 pages left")]
)
def test_a_loop_runs_as_often_as_there_is_something_to_do(
    load: Callable[[str], Workflow], client: Client, pages: int, text: str
) -> None:
    run = ended(client, client.submit(load("polling"), {"pages": pages}).run.run_id)
    assert dict(run.run.outputs_json) == {"text": f'"{text}"'}
    assert sum(step.name == "load" for step in run.steps) == pages


def test_an_equal_execution_is_not_repeated(
    load: Callable[[str], Workflow], client: Client
) -> None:
    first = ended(client, client.submit(load("memo")).run.run_id)
    second = ended(client, client.submit(load("memo")).run.run_id)
    taken = {step.path: step.memo_run_id for step in second.steps}
    assert taken == {"build-features": first.run.run_id, "report": ""}
    assert second.run.outputs_json == first.run.outputs_json
    other = ended(client, client.submit(load("memo"), {"users": 10}).run.run_id)
    assert {step.memo_run_id for step in other.steps} == {""}


def test_a_backfill_makes_a_run_for_each_day_once(
    load: Callable[[str], Workflow], client: Client
) -> None:
    client.register(load("schedule"))

    def filled() -> schedule_pb2.BackfillResponse:
        days = ("2026-01-01", "2026-01-03")
        return client.schedules.backfill("daily-sales", "day", *days, params={"region": "US"})

    first = filled()
    assert first.created == 3
    assert [ended(client, run.run_id).run.outputs_json["total"] for run in first.runs] == [
        "2",
        "4",
        "6",
    ]
    assert filled().created == 0


def test_a_schedule_is_kept_with_its_next_time(
    load: Callable[[str], Workflow], client: Client
) -> None:
    client.register(load("schedule"))
    nightly = schedule_file.read(EXAMPLES / "schedule" / "nightly.toml")
    assert client.schedules.put(nightly).created
    assert client.schedules.get("nightly-sales").HasField("next_time")
    client.schedules.delete("nightly-sales")


def test_a_schedule_submits_runs_for_its_times(
    load: Callable[[str], Workflow], client: Client
) -> None:
    client.register(load("schedule"))
    often = schedule_file.read(EXAMPLES / "schedule" / "nightly.toml")
    often.name, often.jitter_ms = "often", 0
    often.interval.CopyFrom(schedule_pb2.Interval(every_ms=1000))
    client.schedules.put(often)
    run = first_from(client, "schedule:often")
    client.schedules.delete("often")
    assert ended(client, run.run_id).run.status == run_pb2.STATUS_SUCCEEDED
    assert run.params_json["day"] == f'"{datetime.now(UTC).date().isoformat()}"'


def test_a_run_that_has_finished_starts_another_one(
    load: Callable[[str], Workflow], client: Client
) -> None:
    client.register(load("hooks"))
    after = schedule_file.from_mapping(
        {
            "name": "after-sales",
            "workflow": "hooks",
            "run_finished": "daily-sales",
            "params_cel": {"rows": "event.outputs.total"},
        }
    )
    client.schedules.put(after)
    client.submit(load("schedule"), {"day": "2026-01-09"})
    run = first_from(client, "schedule:after-sales")
    client.schedules.delete("after-sales")
    assert run.params_json["rows"] == "18"


def first_from(client: Client, origin: str) -> run_pb2.Run:
    """The first run that something has submitted."""
    deadline = time.monotonic() + 60
    while True:
        found = [run for run in client.runs() if run.origin == origin]
        if found:
            return found[-1]
        assert time.monotonic() < deadline, [run.origin for run in client.runs()]
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("params", "line", "total"),
    [
        (
            {},
            "rows of DE, US, Zürich: {'half': 120.0, 'total': 240} counted, large: ['US', 'DE']",
            "240",
        ),
        (
            {"full": False, "regions": ["US", "DE"]},
            "rows of DE, US: {'half': 120.0, 'total': 240} estimated, large: ['US', 'DE']",
            "240",
        ),
    ],
)
def test_values_come_from_the_way_that_ran_and_from_functions(
    load: Callable[[str], Workflow],
    client: Client,
    params: dict[str, object],
    line: str,
    total: str,
) -> None:
    run = ended(client, client.submit(load("values"), params).run.run_id)
    assert (run.run.status, json.loads(run.run.outputs_json["line"])) == (
        run_pb2.STATUS_SUCCEEDED,
        line,
    )
    assert run.run.outputs_json["total"] == total


def test_parameters_have_types_that_steps_and_expressions_get_as_they_are(
    load: Callable[[str], Workflow], client: Client
) -> None:
    params = {
        "start": datetime(2026, 11, 24, 12, tzinfo=UTC),
        "window": "2h",
        "regions": ["US", "DE"],
        "kind": "weekly",
        "limit": 5,
    }
    run = ended(client, client.submit(load("parameters"), params).run.run_id).run
    assert run.status == run_pb2.STATUS_SUCCEEDED
    assert json.loads(run.outputs_json["line"]) == (
        "weekly: 4 parts, at most 5, after noon, until 14:00, by hand"
    )
    assert json.loads(run.outputs_json["counted"]) == {"US": 4, "DE": 2}
    assert run.params_json["part"] == '"1800s"'
    assert run.params_json["end"] == '"2026-11-24T14:00:00Z"'
