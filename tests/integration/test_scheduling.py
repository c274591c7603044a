"""Runs that nobody submits by hand, on the engine in one process and on the whole system over Kafka."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from shared_system import SharedSystem
from support import load

from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SUCCEEDED = run_pb2.STATUS_SUCCEEDED
PATIENCE = 60.0


class Server:
    """A system without engines."""

    def __init__(
        self,
        api: str,
        produce: Callable[[str, bytes], int] | None = None,
        create: Callable[[str], None] | None = None,
    ) -> None:
        self.api = api
        # Makes a topic of one partition; None where there is no broker.
        self.create = create
        # Sends a record to a topic and gives its offset; None where there is no broker.
        self.produce = produce


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.real)])
def server(
    request: pytest.FixtureRequest,
    shared_system: SharedSystem,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    if request.param == "kafka":
        system = shared_system.system
        producer = KafkaProducer(bootstrap_servers=system.kafka.address)
        send = producer.send

        def create(topic: str) -> None:
            admin = KafkaAdminClient(bootstrap_servers=system.kafka.address)
            admin.create_topics([NewTopic(topic, 1, 1)])
            admin.close()

        yield Server(
            system.api, lambda topic, value: send(topic, value, partition=0).get(30).offset, create
        )
        producer.close()
        return
    with EmbeddedSystem(
        EmbeddedSettings(state=tmp_path_factory.mktemp("scheduling"), slots=2)
    ) as embedded:
        yield Server(embedded.address)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(Endpoints(server=server.api, principal="ada")) as client:
        for name in ("workflow", "parent"):
            client.register(load("scheduled/workflow.py", name))
        yield client
        for schedule in client.schedules.list():
            client.schedules.delete(schedule.name)


def made_by(
    client: Client, origin: str, count: int, workflow: str = "scheduled"
) -> list[run_pb2.Run]:
    """The runs of an origin, as soon as there are so many, all ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        page = [run for run in client.runs(workflow=workflow) if run.origin == origin]
        if len(page) >= count:
            for run in page:
                ended(client, run.run_id)
            return page
        assert time.monotonic() < deadline, f"{len(page)} of {count} runs of {origin}"
        time.sleep(0.1)


def spoken(runs: list[run_pb2.Run]) -> list[str]:
    """What the runs were to say, in order of the alphabet."""
    return sorted(json.loads(run.params_json["what"]) for run in runs)


def ended(client: Client, run_id: str) -> run_service_pb2.GetRunResponse:
    for _ in client.watch(run_id):
        pass
    return client.run(run_id)


def test_a_schedule_submits_a_run_every_second(client: Client) -> None:
    interval = s.Interval(every_ms=1_000)
    schedule = s.Schedule(
        name="beat", workflow="scheduled", interval=interval, params_cel={"what": "time"}
    )
    client.schedules.put(schedule)
    runs = made_by(client, "schedule:beat", 3)
    told = client.schedules.get("beat")
    assert told.last_run_id
    client.schedules.delete("beat")
    times = {json.loads(run.params_json["what"]) for run in runs}
    assert len(times) == len(runs), "no time gives two runs"
    assert all(ended(client, run.run_id).run.status == SUCCEEDED for run in runs)


def test_the_end_of_a_run_begins_another(client: Client) -> None:
    finished = s.RunFinished(workflow="parent")
    cel = {"what": "event.outputs.said"}
    schedule = s.Schedule(name="after", workflow="scheduled", run_finished=finished, params_cel=cel)
    client.schedules.put(schedule)
    above = client.submit_registered("parent", {}).run.run_id
    done = ended(client, above)
    assert (done.run.status, dict(done.run.outputs_json)) == (SUCCEEDED, {"said": '"from above"'})
    (run,) = made_by(client, "schedule:after", 1)
    assert run.params_json["what"] == '"from above"'
    child = client.run(done.blocks[0].child_run_id)
    assert (child.run.parent_run_id, child.run.parent_path) == (above, "call")
    assert client.verify(above).matches
    assert client.verify(child.run.run_id).matches


@pytest.mark.parametrize("server", [pytest.param("kafka", marks=pytest.mark.real)], indirect=True)
def test_a_record_of_a_topic_begins_a_run(client: Client, server: Server) -> None:
    assert server.produce is not None
    assert server.create is not None
    topic = "orders"
    server.create(topic)
    arrived = s.RecordArrived(topic=topic)
    cel = {"what": "event.value.word"}
    put = s.Schedule(name="fed", workflow="scheduled", record_arrived=arrived, params_cel=cel)
    client.schedules.put(put)
    words = [f"word-{number}" for number in range(5)]
    # The first look finds where the topic ends; what comes after it counts.
    while not client.schedules.get("fed").last_run_id:
        server.produce(topic, json.dumps({"word": "first"}).encode())
        time.sleep(0.2)
    for word in words:
        server.produce(topic, json.dumps({"word": word}).encode())
    # Records of one partition come in order: when the last one has its run, all have.
    count = 1
    while words[-1] not in (said := spoken(made_by(client, "schedule:fed", count))):
        count = len(said) + 1
    assert [word for word in said if word.startswith("word")] == words


def test_a_backfill_makes_each_date_once(client: Client) -> None:
    made = client.schedules.backfill("scheduled", "what", "2026-02-27", "2026-03-02", max_active=1)
    assert made.created == 4
    for run in made.runs:
        assert ended(client, run.run_id).run.status == SUCCEEDED
    again = client.schedules.backfill("scheduled", "what", "2026-02-27", "2026-03-03")
    assert again.created == 1


def test_an_equal_step_is_not_executed_again_and_permits_are_given_back(client: Client) -> None:
    client.schedules.set_permits("talk", 1)
    first = client.submit_registered("scheduled", {"what": "twice"}).run.run_id
    assert ended(client, first).run.status == SUCCEEDED
    second = client.submit_registered("scheduled", {"what": "twice"}).run.run_id
    (step,) = ended(client, second).steps
    assert (step.memo_run_id, step.memo_path) == (first, "say")
    assert [permits.taken for permits in client.schedules.permits()] == [0]
    client.schedules.set_permits("talk", 0)
