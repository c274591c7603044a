"""One run for each occasion, whoever looks: the scheduler over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.access.bounds import TenantBounds
from kaon_coordinator.access.grants import Grants
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.matching.tenants import NO_LIMITS
from kaon_coordinator.problems import InvalidRequest
from kaon_coordinator.schedules import checking, due
from kaon_coordinator.schedules.due import first_state, next_scan_us
from kaon_coordinator.schedules.schedule_state import ScheduleState
from kaon_coordinator.schedules.scheduler import Scheduler, SchedulerParts
from kaon_coordinator.schedules.topic_records import Fetched
from kaon_coordinator.store.base import PartitionBatch, RunRecord, RunSelection, ScheduleRecord
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_coordinator.transport.memory_records import MemoryRecords
from kaon_wire import canonical, topics
from kaon_wire.errors import Unavailable
from kaon_wire.memory import MemoryBroker
from kaonapi.model.v1 import model_pb2
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.workflow.v1 import definition_pb2 as d

from ..store.build import batch, new_run

HOUR_US = 3_600_000_000
# A topic that is not Kaon's.
_ORDERS = topics.Topic(name="orders", message=history_pb2.RunEvents, partitions=2)
PARTITIONS = 4


class Desk:
    """A store, a clock, and a scheduler that owns every partition."""

    def __init__(self, directory: Path) -> None:
        self.thread = StoreThread(open_store(f"sqlite:///{directory}/kaon.db"))
        self.store = self.thread.store
        self.now_us = int(datetime(2026, 5, 1, 10, 0, 30, tzinfo=UTC).timestamp()) * 1_000_000
        self.epochs = {
            number: self.store.claim_partition(number, "me") for number in range(PARTITIONS)
        }
        self.woken: list[int] = []
        self.broker = MemoryBroker(
            [*topics.Catalogue().topics(), _ORDERS], clock=lambda: self.now_us / 1e6
        )
        self.scheduler = self.another()
        self.register("w")

    def another(self, **fields: Any) -> Scheduler:
        """A scheduler as another process has it."""

        async def wake(partition: int) -> None:
            self.woken.append(partition)

        usual: dict[str, Any] = {
            "store": self.thread,
            "epochs": lambda: self.epochs,
            "wake": wake,
            "records": MemoryRecords(self.broker),
            "partitions": PARTITIONS,
            "bounds": TenantBounds(self.thread, NO_LIMITS),
            "grants": Grants(self.thread),
            "now_us": lambda: self.now_us,
            "new_run_id": new_run_id,
        }
        return Scheduler(SchedulerParts(**(usual | fields)))

    def register(self, name: str, **types: Any) -> None:
        parameters = [d.Parameter(name=key, type=kind) for key, kind in sorted(types.items())]
        definition = d.WorkflowDefinition(name=name, parameters=parameters)
        self.store.put_workflow("default", definition, canonical.digest_message(definition), 1)

    def put(self, name: str = "nightly", **fields: Any) -> ScheduleRecord:
        """A schedule, as the API puts it."""
        schedule = s.Schedule(name=name, **({"workflow": "w"} | fields))
        state = first_state(schedule, self.now_us)
        record = ScheduleRecord(
            tenant="default",
            partition=1,
            definition=schedule,
            next_us=next_scan_us(schedule, state, self.now_us),
            state=state.to_json(),
            revision=0,
            create_us=self.now_us,
        )
        return self.store.put_schedule(record)[0]

    async def scan(self, hours: float = 0, times: int = 1) -> None:
        """Lets time pass and looks."""
        self.now_us += int(hours * HOUR_US)
        for _ in range(times):
            await self.scheduler.scan()

    def runs(self, workflow: str = "w") -> list[RunRecord]:
        """Oldest first."""
        found = self.store.list_runs("default", RunSelection(workflow=workflow), page_size=500).runs
        return sorted(
            (run for run in found if run.origin.startswith("schedule:")), key=lambda run: run.run_id
        )

    def end(self, run: RunRecord, status: int = run_pb2.STATUS_SUCCEEDED, **row: Any) -> None:
        """Ends a run, as its owner does."""
        seq = self.store.get_run("default", run.run_id).row.seq + 1
        epoch = self.epochs[run.partition]
        done = batch(epoch, run, first=seq, last=seq, status=status, end_us=self.now_us, **row)
        self.store.commit(done)

    def state(self, name: str = "nightly") -> ScheduleState:
        return ScheduleState.from_json(self.store.get_schedule("default", name).state)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    await desk.thread.close()


HOURLY = s.Cron(expression="0 * * * *")


async def test_a_time_gives_one_run_however_many_look(desk: Desk) -> None:
    desk.put(cron=HOURLY)
    others = [desk.another() for _ in range(3)]
    for _ in range(5):
        desk.now_us += HOUR_US
        await asyncio.gather(*(each.scan() for each in (desk.scheduler, *others)))
    assert len(desk.runs()) == 5
    assert {run.origin for run in desk.runs()} == {"schedule:nightly"}
    assert {run.submitter for run in desk.runs()} == {"schedule:nightly"}
    assert desk.state().last_run_id == desk.runs()[-1].run_id
    assert set(desk.woken) == {run.partition for run in desk.runs()}


async def test_a_time_with_jitter_gives_one_run_when_its_delay_is_over(desk: Desk) -> None:
    jittered = desk.put(cron=HOURLY, jitter_ms=3_600_000, catch_up=s.CATCH_UP_ALL)
    delay_us = jittered.next_us - (desk.now_us // HOUR_US + 1) * HOUR_US
    assert 0 < delay_us < HOUR_US
    desk.now_us = jittered.next_us - 1
    await desk.scan(times=2)
    assert desk.runs() == []
    desk.now_us += 1
    await asyncio.gather(desk.scheduler.scan(), desk.another().scan())
    assert len(desk.runs()) == 1
    assert desk.state().last_run_us == jittered.next_us - delay_us, "the run stands for the time"
    for _ in range(480):
        await desk.scan(hours=0.05)
    assert len(desk.runs()) in {24, 25}


async def test_an_owner_that_was_succeeded_submits_nothing(desk: Desk) -> None:
    desk.put(cron=HOURLY)
    desk.store.claim_partition(1, "other")
    await desk.scan(hours=1)
    assert desk.runs() == []
    desk.epochs[1] += 1
    await desk.scan()
    assert len(desk.runs()) == 1


async def test_schedules_of_other_partitions_are_left_to_their_owners(desk: Desk) -> None:
    desk.put(cron=HOURLY)
    del desk.epochs[1]
    await desk.scan(hours=1)
    assert desk.runs() == []


async def test_what_was_missed_is_made_up_for(desk: Desk) -> None:
    desk.put("all", cron=HOURLY, catch_up=s.CATCH_UP_ALL)
    desk.put("latest", cron=HOURLY)
    desk.put("none", cron=HOURLY, catch_up=s.CATCH_UP_NONE)
    # Half past: nothing has come just now.
    await desk.scan(hours=5.5, times=3)
    origins = [run.origin.removeprefix("schedule:") for run in desk.runs()]
    assert (origins.count("all"), origins.count("latest"), origins.count("none")) == (5, 1, 0)
    await desk.scan(hours=0.5)
    assert len(desk.runs()) == 9


async def test_a_paused_schedule_submits_nothing(desk: Desk) -> None:
    desk.put(cron=HOURLY, paused=True)
    await desk.scan(hours=3)
    assert desk.runs() == []


async def test_what_waits_begins_when_the_previous_run_has_ended(desk: Desk) -> None:
    desk.put(cron=HOURLY, overlap=s.OVERLAP_BUFFER)
    for _ in range(4):
        await desk.scan(hours=1)
    (first,) = desk.runs()
    assert desk.state().buffered is not None
    desk.end(first)
    await desk.scan(times=3)
    assert len(desk.runs()) == 2
    assert desk.state().buffered is None
    second = desk.runs()[1]
    assert (
        desk.state().last_run_us
        == int(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
    )
    assert desk.store.get_run("default", second.run_id).row.status == run_pb2.STATUS_PENDING


async def test_while_the_previous_run_goes_on_times_are_skipped(desk: Desk) -> None:
    desk.put(cron=HOURLY, overlap=s.OVERLAP_SKIP)
    for _ in range(3):
        await desk.scan(hours=1)
    (first,) = desk.runs()
    desk.end(first)
    await desk.scan(hours=1)
    assert len(desk.runs()) == 2


async def test_the_previous_run_is_cancelled_when_the_next_begins(desk: Desk) -> None:
    desk.put(cron=HOURLY, overlap=s.OVERLAP_CANCEL_OTHER)
    await desk.scan(hours=1)
    await desk.scan(hours=1)
    first, second = desk.runs()
    commands = [
        (row.run_id, row.command.WhichOneof("command"))
        for number in range(PARTITIONS)
        for row in desk.store.unapplied(number)
    ]
    assert sorted(commands) == sorted(
        [(first.run_id, "start"), (first.run_id, "cancel"), (second.run_id, "start")]
    )


async def test_parameters_are_computed_from_the_time(desk: Desk) -> None:
    desk.register("dated", day=d.VALUE_TYPE_STRING, n=d.VALUE_TYPE_INT)
    desk.put(
        workflow="dated",
        cron=HOURLY,
        params_json={"n": "4"},
        params_cel={"day": "time"},
        priority=3,
    )
    await desk.scan(hours=1)
    (run,) = desk.runs("dated")
    assert dict(run.params) == {"day": '"2026-05-01T11:00:00Z"', "n": "4"}
    assert run.row.priority == 3


async def test_a_date_is_that_of_the_schedules_time_zone(desk: Desk) -> None:
    desk.register("dated", day=d.VALUE_TYPE_DATE)
    cron = s.Cron(expression="30 0 * * *", time_zone="Europe/Berlin")
    desk.put(workflow="dated", cron=cron, params_cel={"day": "date"})
    await desk.scan(hours=13)
    (run,) = desk.runs("dated")
    assert dict(run.params) == {"day": '"2026-05-02"'}, "it is 22:30 of the day before in UTC"


async def test_a_run_that_cannot_be_made_is_told_and_the_next_time_comes(desk: Desk) -> None:
    desk.register("typed", n=d.VALUE_TYPE_INT)
    desk.put(workflow="typed", cron=HOURLY, params_cel={"n": "time"})
    await desk.scan(hours=1)
    assert desk.runs("typed") == []
    assert "'n' must be an integer" in desk.state().last_error
    assert desk.store.get_schedule("default", "nightly").next_us > desk.now_us


async def test_every_end_of_the_other_workflow_gives_one_run(desk: Desk) -> None:
    desk.register("source")
    desk.put(run_finished=s.RunFinished(workflow="source"), params_cel={})
    await desk.scan()
    runs = [desk.store.submit_run(new_run(workflow="source"))[0] for _ in range(4)]
    await desk.scan()
    assert desk.runs() == []
    desk.now_us += 1_000_000
    desk.end(runs[0])
    desk.end(runs[1], run_pb2.STATUS_FAILED)
    await desk.scan(times=3)
    assert len(desk.runs()) == 1
    # One whose end becomes visible late, with an earlier time.
    desk.now_us -= 500_000
    desk.end(runs[2])
    desk.now_us += 5_000_000
    await desk.scan(times=3)
    assert len(desk.runs()) == 2
    # One that ends again, after a retry.
    desk.end(runs[1])
    await desk.scan(times=3)
    assert len(desk.runs()) == 3


async def test_the_event_tells_which_run_has_ended(desk: Desk) -> None:
    desk.register("source")
    desk.register("follow", from_run=d.VALUE_TYPE_STRING, score=d.VALUE_TYPE_FLOAT)
    cel = {"from_run": "event.run_id", "score": "event.outputs.score"}
    desk.put(workflow="follow", run_finished=s.RunFinished(workflow="source"), params_cel=cel)
    run, _ = desk.store.submit_run(new_run(workflow="source"))
    desk.now_us += 1
    desk.end(run, outputs='{"score":"0.5"}')
    await desk.scan()
    (made,) = desk.runs("follow")
    assert dict(made.params) == {"from_run": f'"{run.run_id}"', "score": "0.5"}


TOPIC = "orders"


async def test_every_record_gives_one_run_and_the_position_is_kept_with_it(desk: Desk) -> None:
    desk.register("fed", who=d.VALUE_TYPE_STRING)
    cel = {"who": "event.value.name"}
    desk.put(workflow="fed", record_arrived=s.RecordArrived(topic=TOPIC), params_cel=cel)
    desk.broker.produce(TOPIC, 0, b'{"name": "before"}')
    await desk.scan()
    assert desk.runs("fed") == [], "what was there before is not new"
    for number in range(3):
        desk.broker.produce(TOPIC, number % 2, b'{"name": "n%d"}' % number)
    await asyncio.gather(*(each.scan() for each in (desk.scheduler, desk.another())))
    await desk.scan(times=2)
    assert sorted(run.params["who"] for run in desk.runs("fed")) == ['"n0"', '"n1"', '"n2"']
    # Another process goes on from there.
    desk.broker.produce(TOPIC, 0, b'{"name": "later"}')
    await desk.another().scan()
    assert len(desk.runs("fed")) == 4
    assert desk.state().positions[0] == 4


async def test_a_record_that_fits_no_parameter_is_told_and_passes(desk: Desk) -> None:
    desk.register("fed", who=d.VALUE_TYPE_STRING)
    cel = {"who": "event.value.name"}
    desk.put(workflow="fed", record_arrived=s.RecordArrived(topic=TOPIC), params_cel=cel)
    await desk.scan()
    desk.broker.produce(TOPIC, 0, b"no json")
    desk.broker.produce(TOPIC, 0, b'{"name": "good"}')
    await desk.scan()
    assert len(desk.runs("fed")) == 1
    desk.put("lost", record_arrived=s.RecordArrived(topic="nowhere"))
    await desk.scan()
    assert "no topic 'nowhere'" in desk.state("lost").last_error


async def test_a_published_model_gives_a_run(desk: Desk) -> None:
    desk.register("evaluate", image=d.VALUE_TYPE_STRING)
    wanted = s.ModelPublished(model="recommender", stage="announced")
    desk.put(workflow="evaluate", model_published=wanted, params_cel={"image": "event.image"})
    await desk.scan()
    for model, tenant in (
        ("recommender", "default"),
        ("other", "default"),
        ("recommender", "other"),
    ):
        version = model_pb2.ModelVersion(
            model=model,
            tenant=tenant,
            stage=model_pb2.STAGE_ANNOUNCED,
            image_reference=f"reg/{model}",
        )
        announced = model_pb2.Announcement(version=version)
        desk.broker.produce(topics.MODEL_EVENTS, 0, announced.SerializeToString())
    await desk.scan(times=2)
    (run,) = desk.runs("evaluate")
    assert run.params["image"] == '"reg/recommender"'


async def test_a_schedule_that_is_put_is_looked_at_soon(desk: Desk) -> None:
    scheduler = desk.another(every_seconds=60)
    task = asyncio.create_task(scheduler.run())
    try:
        await asyncio.sleep(0)
        desk.put(cron=HOURLY)
        desk.now_us += HOUR_US
        scheduler.changed()
        async with asyncio.timeout(5):
            while not desk.runs():  # noqa: ASYNC110 -- what is awaited has no event
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_empty_batch_wakes_nobody(desk: Desk) -> None:
    desk.put(run_finished=s.RunFinished(workflow="w"))
    before = desk.store.get_schedule("default", "nightly")
    await desk.scan(times=3)
    assert desk.store.get_schedule("default", "nightly") == before
    assert desk.woken == []
    desk.store.commit(PartitionBatch(partition=1, epoch=desk.epochs[1]))


async def test_a_schedule_whose_run_waits_writes_nothing_meanwhile(desk: Desk) -> None:
    desk.put(cron=HOURLY, overlap=s.OVERLAP_BUFFER)
    for _ in range(2):
        await desk.scan(hours=1)
    before = desk.store.get_schedule("default", "nightly")
    for _ in range(5):
        await desk.scan(hours=0.01)
    assert desk.store.get_schedule("default", "nightly") == before


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- what is awaited has no event
            await asyncio.sleep(0.01)


class SilentRecords:
    """A broker one of whose topics never answers, and one of which is gone."""

    def __init__(self, records: MemoryRecords) -> None:
        self._records = records
        self.asked = asyncio.Event()
        self.answered = asyncio.Event()

    async def fetch(self, topic: str, positions: Mapping[int, int], limit: int) -> Fetched:
        if topic == "silent":
            self.asked.set()
            await self.answered.wait()
            raise Unavailable("topic 'silent' cannot be read: it has no leader")
        return await self._records.fetch(topic, positions, limit)

    async def close(self) -> None: ...


async def test_a_topic_that_does_not_answer_holds_nobody_up(desk: Desk) -> None:
    records = SilentRecords(MemoryRecords(desk.broker))
    scheduler = desk.another(records=records, every_seconds=0.01)
    desk.put("a-silent", record_arrived=s.RecordArrived(topic="silent"))
    desk.put("b-hourly", cron=HOURLY)
    desk.put("c-records", record_arrived=s.RecordArrived(topic=TOPIC))
    task = asyncio.create_task(scheduler.run())
    try:
        await asyncio.wait_for(records.asked.wait(), 5)
        await until(lambda: bool(desk.state("c-records").positions))
        desk.now_us += HOUR_US
        desk.broker.produce(TOPIC, 0, b"x")
        await until(lambda: len(desk.runs()) == 2)
        assert {run.origin for run in desk.runs()} == {"schedule:b-hourly", "schedule:c-records"}
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    # One that has not answered rests before it is asked again, and longer each time.
    records.answered.set()
    scheduler = desk.another(records=records)
    for wait_us in (0, 5_000_000, 10_000_000):
        desk.now_us += wait_us
        records.asked.clear()
        await scheduler.scan()
        assert records.asked.is_set()
        records.asked.clear()
        await scheduler.scan()
        assert not records.asked.is_set()


async def test_a_schedule_that_raises_is_told_of_and_the_others_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put("a-bad", cron=HOURLY)
    desk.put("b-good", cron=HOURLY)
    real = due.due_occasions

    def due_occasions(schedule: s.Schedule, *args: Any) -> Any:
        if schedule.name == "a-bad":
            raise IndexError("of a list")
        return real(schedule, *args)

    monkeypatch.setattr(due, "due_occasions", due_occasions)
    await desk.scan(hours=1)
    await desk.scan(hours=1)
    assert [run.origin for run in desk.runs()] == ["schedule:b-good"] * 2
    (aside,) = desk.store.list_set_aside(0)
    assert (aside.kind, aside.tenant, aside.name) == ("schedule", "default", "a-bad")
    assert aside.reference in desk.state("a-bad").last_error
    assert "IndexError" in desk.state("a-bad").last_error
    # As soon as it can be treated again nobody is told of it any more, also by an owner that has begun later.
    monkeypatch.undo()
    desk.scheduler = desk.another()
    await desk.scan(hours=1)
    assert desk.store.list_set_aside(0) == []
    assert [run.origin for run in desk.runs()].count("schedule:a-bad") == 1


async def test_a_run_of_a_schedule_that_cannot_be_stored_passes(desk: Desk) -> None:
    desk.register("texts", text=d.VALUE_TYPE_STRING)
    # Half of a surrogate pair: JSON, but no text that a database takes.
    desk.put("a-bad", workflow="texts", cron=HOURLY, params_json={"text": '"\\ud800"'})
    desk.put("b-good", cron=HOURLY)
    await desk.scan(hours=1)
    assert [run.origin for run in desk.runs()] == ["schedule:b-good"]
    assert desk.state("a-bad").last_error
    await desk.scan(hours=1)
    assert len(desk.runs()) == 2
    assert desk.state("a-bad").last_us == desk.now_us


async def test_a_run_of_a_schedule_knows_the_last_success_before_it(desk: Desk) -> None:
    info = {"i": d.Binding(run_info=d.RunInfo())}
    text = (
        "i.previous_success == null ? 'none' : i.previous_success.id + ' for ' + i.scheduled_time"
    )
    since = d.Parameter(
        name="since",
        type=d.VALUE_TYPE_STRING,
        computed=d.Binding(expression=d.Expression(cel=text, variables=info)),
    )
    definition = d.WorkflowDefinition(name="w", parameters=[since])
    desk.store.put_workflow("default", definition, canonical.digest_message(definition), 2)
    desk.put(cron=HOURLY)
    await desk.scan(hours=1)
    first = desk.runs()[0]
    await desk.scan(hours=1)
    desk.end(first)
    await desk.scan(hours=1)
    desk.end(desk.runs()[1], run_pb2.STATUS_FAILED)
    await desk.scan(hours=1)
    told = [canonical.loads(run.params["since"]) for run in desk.runs()]
    assert told[:2] == ["none", "none"]
    times = ("2026-05-01T13:00:00Z", "2026-05-01T14:00:00Z")
    assert told[2:] == [f"{first.run_id} for {time}" for time in times]


async def test_a_default_that_is_computed_of_the_run_is_left_to_the_run(desk: Desk) -> None:
    info = {"i": d.Binding(run_info=d.RunInfo())}

    def computed(name: str, cel: str, variables: Mapping[str, d.Binding] = info) -> d.Parameter:
        value = d.Binding(expression=d.Expression(cel=cel, variables=variables))
        return d.Parameter(name=name, type=d.VALUE_TYPE_DATETIME, computed=value)

    definition = d.WorkflowDefinition(
        name="w",
        parameters=[
            computed("begin", "i.scheduled_time"),
            computed("since", "i.previous_success.end_time"),
            computed("end", "at + duration('1h')", {"at": d.Binding(parameter="at")}),
            d.Parameter(name="at", type=d.VALUE_TYPE_DATETIME),
        ],
    )
    wanted = s.Schedule(name="n", workflow="w", cron=HOURLY, params_cel={"at": "time"})
    checking.check(wanted, definition)
    wanted.params_json["since"] = '"yesterday"'
    with pytest.raises(InvalidRequest, match="'since' must be a time"):
        checking.check(wanted, definition)
    wanted.params_json["since"] = '"2026-05-01T00:00:00Z"'
    checking.check(wanted, definition)

    desk.store.put_workflow("default", definition, canonical.digest_message(definition), 2)
    desk.put(cron=HOURLY, params_cel={"at": "time"}, params_json=dict(wanted.params_json))
    await desk.scan(hours=1)
    (run,) = desk.runs()
    assert run.params == {
        "at": '"2026-05-01T11:00:00Z"',
        "begin": '"2026-05-01T11:00:00Z"',
        "end": '"2026-05-01T12:00:00Z"',
        "since": '"2026-05-01T00:00:00Z"',
    }
