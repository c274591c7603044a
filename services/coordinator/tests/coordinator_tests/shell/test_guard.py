"""No input stops anything but its own run: what is raised for one run, wherever it is raised, ends that run, and others go on.

The inputs are given below the API's checks, as if one of them had been forgotten there.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry

from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.log_archive import LogArchive
from kaon_coordinator.api.sinks import ApiSinks
from kaon_coordinator.engine.rows.codec import error_of
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.faults import note_fault
from kaon_coordinator.gauges import Gauges
from kaon_coordinator.shell import artifact_io, deciding, effects, ending, turn
from kaon_coordinator.shell.inbound.sorting import sort_records
from kaon_coordinator.store.base import RunRecord
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_coordinator.transport.base import Incoming
from kaon_local.postgres import Postgres
from kaon_telemetry.metrics import CoordinatorMetrics
from kaon_wire import canonical, topics
from kaon_wire.errors import InvalidValue
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import branch, chain, fan, for_each, literal, repeat, step
from .player import playing
from .test_effects import happened, verified
from .world import Member, World

HUGE_MS = (1 << 63) // 1000 - 1
MOST = (1 << 31) - 1
BAD = step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type="ValueError", message="no")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "sqlite":
        return World(tmp_path)
    server: Postgres = request.getfixturevalue("postgres")
    return World(tmp_path, url=server.create_database(f"test_{uuid4().hex}"))


@pytest.fixture
def sqlite_only(tmp_path: Path) -> World:
    return World(tmp_path)


def run_of(member: Member, run_id: str) -> RunRecord:
    return member.store.store.get_run("default", run_id)


def ended(member: Member, run_id: str) -> bool:
    return run_of(member, run_id).row.status in t.TERMINAL


def error(member: Member, run_id: str = "bad") -> step_pb2.StepError:
    return error_of(run_of(member, run_id).row.error) or step_pb2.StepError()


def expression(cel: str, **variables: d.Binding) -> d.Binding:
    return d.Binding(expression=d.Expression(cel=cel, variables=variables))


# --- every input that was seen to end a coordinator -----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Input:
    """A workflow with what makes it harmful."""

    body: d.Graph
    fields: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    command: dict[str, Any] = field(default_factory=dict)
    outcome: Any = field(default_factory=lambda: {"out": 1})


def _of_step(name: str = "s", **fields: Any) -> d.Block:
    block = step(name)
    block.step.MergeFrom(d.Step(**fields))
    return block


def _gate(**fields: Any) -> d.Block:
    return d.Block(name="g", gate=d.Gate(**fields))


def _retrying(**policy: Any) -> d.Block:
    block = step("s")
    block.step.retry.CopyFrom(d.RetryPolicy(max_attempts=3, **policy))
    return block


_NOTHING = expression("xs[0]", xs=literal([]))
_WAITING_REPEAT = repeat("r", fan(step("s")), literal(False))
_WAITING_REPEAT.repeat.backoff_ms = _WAITING_REPEAT.repeat.max_backoff_ms = HUGE_MS
_TIMED_GROUP = d.Block(name="g", timeout_ms=HUGE_MS, group=d.Group(body=fan(step("s"))))

INPUTS = {
    "an index of an empty list as an input": Input(body=fan(step("s", x=_NOTHING))),
    "an index of an empty list as an end": Input(body=fan(repeat("r", fan(step("s")), _NOTHING))),
    "an index of an empty list as a condition": Input(
        body=fan(branch("b", _NOTHING, fan(step("s"))))
    ),
    "a back-off without end": Input(body=fan(_retrying(backoff_ms=1 << 62)), outcome=BAD),
    "a pass that waits without end": Input(body=fan(_WAITING_REPEAT)),
    "a gate's time-out without end": Input(
        body=fan(_gate(signal=d.SignalGate(name="go"), timeout_ms=HUGE_MS))
    ),
    "a timer without end": Input(body=fan(_gate(timer=d.TimerGate(after_ms=literal(1 << 62))))),
    "a group's time-out without end": Input(body=fan(_TIMED_GROUP), outcome=None),
    "a run's time-out without end": Input(
        body=fan(step("s")), fields={"timeout_ms": HUGE_MS}, outcome=None
    ),
    "a step's priority beside the run's": Input(
        body=fan(_of_step(priority=MOST)), run={"priority": 1}
    ),
    "a run's priority beside a step's": Input(
        body=fan(_of_step(priority=1), step("other")),
        outcome=None,
        command={"set_priority": command_pb2.SetRunPriority(priority=MOST)},
    ),
    "permits under a priority beyond all": Input(
        body=fan(_of_step(priority=MOST, tags=["gpu"])), run={"priority": 1}
    ),
    "negative resources": Input(
        body=fan(_of_step(resources=d.Resources(slots=-5, memory_bytes=-(1 << 40))))
    ),
    "half of a surrogate pair as a literal": Input(
        body=fan(step("s", x=d.Binding(literal_json='"\\ud800"')))
    ),
    "half of a surrogate pair as an item": Input(
        body=fan(for_each("each", d.Binding(literal_json='["a", "\\ud800"]'), fan(step("s"))))
    ),
    "half of a surrogate pair under a memo": Input(
        body=fan(
            _of_step(inputs={"x": d.Binding(literal_json='"\\ud800"')}, memo=d.Memo(enabled=True))
        )
    ),
    "a zero byte as an item": Input(
        body=fan(for_each("each", d.Binding(literal_json='["a", "\\u0000"]'), fan(step("s"))))
    ),
    "an item that is longer than an index allows": Input(
        body=fan(for_each("each", literal(["x" * 100_000]), fan(step("s"))))
    ),
    "inputs that no record can hold": Input(
        body=fan(step("s", **{f"x{n}": literal("x" * 60_000) for n in range(20)}))
    ),
}


async def test_no_input_stops_anything_but_its_own_run(world: World, member: Member) -> None:
    good = world.register(member, d.WorkflowDefinition(name="good", body=fan(step("fine"))))
    bad = {f"bad-{number}": (name, given) for number, (name, given) in enumerate(INPUTS.items())}
    for run_id, (_, given) in bad.items():
        version = world.register(
            member, d.WorkflowDefinition(name=run_id, body=given.body, **given.fields)
        )
        world.submit_run(member, run_id, version, run_id, **given.run)
    world.submit_run(member, "good", good, "good")

    def play(request: step_pb2.StepRequest) -> Any:
        known = bad.get(request.key.run_id)
        return {"out": 1} if known is None else known[1].outcome

    async with playing(world, play):
        await world.until(lambda: ended(member, "good"))
        for run_id, (_, given) in bad.items():
            if given.command:
                world.command(member, run_id, **given.command)
        world.submit_run(member, "good", good, "after")
        await world.until(lambda: ended(member, "after"))
    assert member.works
    store = member.store.store
    await world.until(lambda: store.unapplied(0) == [])
    await member.stop()
    # Who comes next meets nothing that it could end of.
    other = Member(world, "second")
    await other.start()
    async with playing(world):
        world.submit_run(other, "good", good, "later")
        await world.until(lambda: ended(other, "later"))
    assert other.works
    assert other.store.store.list_set_aside(0) == []
    for run_id in bad:
        if run_of(other, run_id).row.status == t.FAILED:
            verified(other, run_id)
    await other.stop()


# --- what becomes of the run ----------------------------------------------------------------------------------------


def _poison(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, times: int = 1, run_id: str = "bad"
) -> list[str]:
    """Raises behind a function, so often, whenever it is for the run."""
    real, raised = getattr(module, name), list[str]()

    def raising(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        about = getattr(args[0], "run_id", "")
        if about == run_id and len(raised) < times:
            raised.append(about)
            raise ZeroDivisionError("half of it is done")
        return result

    monkeypatch.setattr(module, name, raising)
    return raised


def _two(world: World, member: Member) -> None:
    """Two runs of three steps in a row, begun."""
    world.hello()
    version = world.register(
        member, d.WorkflowDefinition(name="w", body=chain(step("a"), step("b"), step("c")))
    )
    for run_id in ("bad", "good"):
        world.submit_run(member, "w", version, run_id)


async def _first(world: World) -> dict[str, step_pb2.StepRequest]:
    return {request.key.run_id: request for request in await world.released(2)}


PLACES = {
    "a decision": (turn, "decide"),
    "its rows": (turn, "run_row"),
    "its requests": (effects.requests, "step_request"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_run_that_cannot_go_on_fails_with_a_reference_and_its_history_replays(
    sqlite_only: World,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = sqlite_only
    member = Member(world, "first")
    await member.start()
    _two(world, member)
    first = await _first(world)
    for request in first.values():
        world.report(request.key, started=step_pb2.StepStarted())
    await world.until(lambda: len(happened(member, "step_leased", "good")) == 1)
    await world.until(lambda: len(happened(member, "step_leased", "bad")) == 1)
    raised = _poison(monkeypatch, *PLACES[place])
    for request in first.values():
        done = step_pb2.StepSucceeded(outputs_json={"out": "1"})
        world.report(request.key, succeeded=done)
    await world.until(lambda: ended(member, "bad"))
    assert raised
    told = error(member)
    assert (told.type, told.error_class) == ("EngineFault", step_pb2.ERROR_CLASS_PLATFORM)
    reference = told.message.rsplit(" ", 1)[-1]
    logged = capsys.readouterr()
    assert reference in logged.out + logged.err
    assert "ZeroDivisionError" in logged.out + logged.err
    verified(member, "bad")
    (second,) = [each for each in await world.released(1) if each.key.run_id == "good"]
    assert second.key.path == "b"
    assert member.coordinator.counters.faults == 1
    # What had been done is kept, and a retry goes on from there.
    world.command(member, "bad", retry=command_pb2.RetryRun())
    again = {each.key.path for each in await world.released(1) if each.key.run_id == "bad"}
    assert again in ({"a"}, {"b"})
    await member.stop()


async def test_a_command_that_is_fatal_counts_as_applied(
    sqlite_only: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sqlite_only
    member = Member(world, "first")
    await member.start()
    raised = _poison(monkeypatch, deciding, "submit", times=100)
    _two(world, member)
    await world.until(lambda: ended(member, "bad"))
    assert error(member).type == "EngineFault"
    assert member.store.store.unapplied(0) == []
    assert len(raised) == 1
    assert [event.WhichOneof("event") for event in member.store.store.history("bad")] == [
        "run_submitted",
        "run_ended",
    ]
    verified(member, "bad")
    await member.stop()


async def test_a_run_that_cannot_even_be_ended_is_set_aside_until_somebody_asks_for_it(
    sqlite_only: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sqlite_only
    member = Member(world, "first")
    await member.start()
    _two(world, member)
    first = await _first(world)
    with monkeypatch.context() as patch:
        _poison(patch, turn, "decide")
        for how in ("end_faulted", "end_barely"):
            _poison(patch, ending, how)
        world.report(first["bad"].key, started=step_pb2.StepStarted())
        store = member.store.store
        await world.until(lambda: bool(store.list_set_aside(0)))
    (aside,) = store.list_set_aside(0)
    assert (aside.kind, aside.name, aside.partition) == ("run", "bad", 0)
    assert aside.reference in aside.reason
    # The next owner does not touch it either, nor what is asked of it.
    await member.stop()
    member = Member(world, "second")
    await member.start()
    store = member.store.store
    world.command(member, "bad", cancel=command_pb2.RequestRunCancel(reason="why"))
    world.report(first["good"].key, started=step_pb2.StepStarted())
    world.report(first["good"].key, succeeded=step_pb2.StepSucceeded(outputs_json={"out": "1"}))
    await world.until(lambda: len(happened(member, "step_became_ready", "good")) == 2)
    assert not ended(member, "bad")
    assert store.unapplied(0) == []
    # Taken back, it is as if it had been taken over just now, and what waited for it is applied.
    assert store.take_back("run", "", "bad")
    member.coordinator.wake(0)
    await world.until(lambda: ended(member, "bad"))
    assert run_of(member, "bad").row.status == t.CANCELLED
    verified(member, "bad")
    await member.stop()


async def test_a_run_that_cannot_be_taken_over_leaves_its_partition_to_the_others(
    sqlite_only: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sqlite_only
    member = Member(world, "first")
    await member.start()
    _two(world, member)
    await _first(world)
    await member.stop()
    real = deciding.replay.stored

    def stored(run: Any, workflow: Any) -> Any:
        if run.run_id == "bad":
            raise KeyError("a block that the definition does not have")
        return real(run, workflow)

    monkeypatch.setattr(deciding.replay, "stored", stored)
    other = Member(world, "second")
    await other.start()
    world.hello()
    await world.until(lambda: bool(other.store.store.list_set_aside(0)))
    world.command(other, "good", cancel=command_pb2.RequestRunCancel(reason="why"))
    await world.until(lambda: ended(other, "good"))
    assert other.coordinator.runs_aside == 1
    monkeypatch.undo()
    assert other.store.store.take_back("run", "", "bad")
    world.command(other, "bad", cancel=command_pb2.RequestRunCancel(reason="why"))
    await world.until(lambda: ended(other, "bad"))
    assert other.coordinator.runs_aside == 0
    await other.stop()


async def test_what_the_database_refuses_of_one_run_is_written_without_it(
    world: World, member: Member
) -> None:
    """A transaction of many runs, one of which the database does not take."""
    texts = [f"run-{number}" for number in range(20)]
    version = world.register(member, d.WorkflowDefinition(name="w", body=fan(step("s"))))
    item = '["\\u0000"]' if "postgresql" in world.url else '["\\ud800"]'
    bad = world.register(
        member,
        d.WorkflowDefinition(
            name="bad", body=fan(for_each("each", d.Binding(literal_json=item), fan(step("s"))))
        ),
    )
    for run_id in texts[:10]:
        world.submit_run(member, "w", version, run_id)
    world.submit_run(member, "bad", bad, "bad")
    for run_id in texts[10:]:
        world.submit_run(member, "w", version, run_id)
    async with playing(world):
        await world.until(lambda: all(ended(member, run_id) for run_id in texts))
        await world.until(lambda: ended(member, "bad"))
    assert {run_of(member, run_id).row.status for run_id in texts} == {t.SUCCEEDED}
    assert run_of(member, "bad").row.status == t.FAILED
    assert member.store.store.unapplied(0) == []
    verified(member, "bad")


def test_a_fault_tells_no_text_that_was_not_made_for_people() -> None:
    assert "secret" not in str(note_fault("x was done", KeyError("secret")))
    told = str(note_fault("x was done", InvalidValue("half \ud800 and \0")))
    assert told.encode()
    assert "\0" not in told
    assert canonical.dumps(told)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b'"a"\n"\\ud800"\n', "line 2: not JSON"),
        (b'"a"\n"' + b"x" * 300_000 + b'"\n', "item_bytes of 262144"),
        (b"x" * 300_000, "item_bytes of 262144"),
    ],
    ids=["half of a surrogate pair", "a long line", "a line without end"],
)
async def test_a_line_that_is_no_item_fails_its_foreach(
    sqlite_only: World, lines: bytes, told: str
) -> None:
    world = sqlite_only
    member = Member(world, "first")
    await member.start()
    kept = canonical.dumps({"artifact": world.artifacts.put_bytes(lines).to_json()})
    body = fan(for_each("each", d.Binding(literal_json=kept), fan(step("s"))))
    version = world.register(member, d.WorkflowDefinition(name="w", body=body))
    world.submit_run(member, "w", version, "bad")
    await world.until(lambda: ended(member, "bad"))
    assert told in error(member).message
    assert error(member).error_class == step_pb2.ERROR_CLASS_USER
    await member.stop()


class _Counting(io.BytesIO):
    """Content that tells how much of it was read at once."""

    most = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        self.most = max(self.most, len(line))
        return line


def test_a_line_of_any_length_costs_bounded_memory() -> None:
    content = _Counting(b"x" * 10_000)
    with pytest.raises(InvalidValue, match="item_bytes of 100"):
        list(artifact_io._bounded(content, "file:///x", 100))
    assert content.most <= 102
    assert list(artifact_io._bounded(io.BytesIO(b"1" * 100 + b"\r\n2\n"), "file:///x", 100)) == [
        b"1" * 100 + b"\r\n",
        b"2\n",
    ]


def test_a_record_that_cannot_be_read_is_quarantined_alone() -> None:
    good = step_pb2.StepEvents(runner_id="r").SerializeToString()
    records = [
        Incoming(topic=topic, partition=0, offset=offset, timestamp_ms=0, value=value)
        for offset, (topic, value) in enumerate(
            [(topics.STEP_EVENTS, good), ("no-such-topic", b"x"), (topics.STEP_EVENTS, b"\xff\xff")]
        )
    ]
    inbound = sort_records(records)
    assert len(inbound.reports[0]) == 1
    assert [record.offset for record, _ in inbound.poison] == [1, 2]


async def test_a_pool_that_cannot_be_measured_ends_nothing(sqlite_only: World) -> None:
    """More slots are asked for in all than a message can tell, and one of the pools raises."""
    world = sqlite_only
    member = Member(world, "first")
    await member.start()
    huge = [_of_step(resources=d.Resources(slots=MOST, memory_bytes=1 << 62)) for _ in range(2)]
    huge[1].name = "t"
    version = world.register(member, d.WorkflowDefinition(name="w", body=fan(*huge)))
    world.submit_run(member, "w", version, "huge")
    await world.until(lambda: len(happened(member, "step_became_ready", "huge")) == 2)
    metrics = CoordinatorMetrics(CollectorRegistry())
    gauges = Gauges(metrics, member.coordinator, member.transport, ["default", "other"])
    gauges.look()
    assert metrics.runs_open._value.get() == 1
    assert member.works
    await member.stop()


async def test_lines_that_cannot_be_archived_cost_no_others(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/kaon.db")
    thread = StoreThread(store)
    real = store.archive_logs

    def archive(records: Any) -> Any:
        if any(record.key.run_id == "bad" for record in records):
            raise ValueError("no text for this database")
        return real(records)

    store.archive_logs = archive  # type: ignore[method-assign]
    lines = [
        log_pb2.LogLines(
            key=step_pb2.StepKey(run_id=run_id, path="s", attempt=1, generation=1),
            incarnation="r",
            lines=[log_pb2.LogLine(sequence=1, text="hello")],
        )
        for run_id in ("a", "bad", "b")
    ]
    await ApiSinks(RunFeed(), LogArchive(thread)).logs(lines)
    assert [bool(store.read_logs(run_id)) for run_id in ("a", "bad", "b")] == [True, False, True]
    await thread.close()
