"""Closed lines between real services: accounts and TLS at the broker, lease tokens, signed commands."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import (
    KafkaAdminClient,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from kafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
)
from support import Api, gauge, load, until

from kaon_coordinator.create_topics import create_topics, grant_rights
from kaon_coordinator.transport.broker_watch import BrokerWatch
from kaon_coordinator.transport.producing import Producing
from kaon_coordinator.transport.topic_reader import KafkaRecords
from kaon_local.fetch import jars
from kaon_local.secure.native_ciphers import has_native_ciphers
from kaon_local.system import ONE_COORDINATOR, System, SystemConfig
from kaon_publisher.announcing import KafkaBroker
from kaon_service.heartbeat_signatures import HeartbeatSigner
from kaon_service.kafka_producer import connection
from kaon_service.kafka_security import KafkaSecurity
from kaon_wire import topics
from kaon_wire.errors import Unavailable
from kaon_wire.partitioning import partition_of
from kaon_wire.topic_rights import COORDINATOR, PUBLISHER, VIEW, rights_of, runner
from kaonapi.run.v1 import run_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(300), pytest.mark.xdist_group("closed-lines")]
CATALOGUE = topics.Catalogue(
    run_partitions=ONE_COORDINATOR.run_partitions,
    pool_partitions=1,
    runner_partitions=1,
    pools=("default", "gpu"),
)
OURS, OTHERS = runner("default"), runner("gpu")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    config = SystemConfig(
        state=tmp_path_factory.mktemp("closed"),
        kept=False,
        runners=1,
        engines=False,
        docker=False,
        publisher=False,
        catalogue=CATALOGUE,
        closed_lines=True,
    )
    with System(config, report=print) as running:
        yield running


@pytest.fixture
def api(system: System) -> Iterator[Api]:
    api = Api(system.api)
    yield api
    api.close()


@pytest.mark.skipif(not has_native_ciphers(jars("kafka")), reason="it exists for Linux alone")
def test_the_broker_encrypts_by_the_native_library(system: System) -> None:
    """A JVM passes a library that it cannot load over in silence: the broker looks, and its start tells."""
    (broker,) = system.kafka.pids
    assert "libamazonCorrettoCryptoProvider" in Path(f"/proc/{broker}/maps").read_text()
    assert system.kafka.notice == ""


def security(system: System, account: str) -> KafkaSecurity:
    return KafkaSecurity.read(system.kafka.account(account))


def write(system: System, account: str, topic: str, value: bytes = b"") -> None:
    producer = KafkaProducer(
        bootstrap_servers=system.kafka.address,
        acks="all",
        # Or whoever may write nothing at all is refused in other words.
        enable_idempotence=False,
        max_block_ms=10_000,
        **security(system, account).arguments,
    )
    try:
        producer.send(topic, value=value, partition=0).get(timeout=10)
    finally:
        producer.close(timeout=1)


def read(system: System, account: str, topic: str, group: str | None = None) -> list[Any]:
    """The records of a topic's first partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=system.kafka.address,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **security(system, account).arguments,
    )
    try:
        if not consumer.partitions_for_topic(topic):
            # The client says so in its log only.
            raise TopicAuthorizationFailedError(topic)
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        if group is not None:
            consumer.committed(place)
        consumer.seek_to_beginning(place)
        return consumer.poll(timeout_ms=2_000).get(place, [])
    finally:
        consumer.close(autocommit=False)


def test_a_workflow_runs_to_its_end_over_closed_lines(api: Api, tmp_path: Path) -> None:
    flow = load("faults/single.py", "FLOWS")["fails"]
    run = api.wait(api.submit(flow, ledger=str(tmp_path / "ledger")))
    assert run.error.type == "ValueError"
    assert run.status == run_pb2.STATUS_FAILED


REFUSED_TO_READ = (
    (OURS, topics.step_ready("gpu")),
    (OTHERS, topics.step_ready("default")),
    (OURS, topics.STEP_EVENTS),
    (OURS, topics.STEP_LOGS),
    (OURS, topics.STEP_REQUESTS),
    (OURS, topics.RUN_EVENTS),
    (OURS, topics.RUNNER_HEARTBEATS),
    (VIEW, topics.STEP_LOGS),
    (PUBLISHER, topics.RUN_EVENTS),
    (COORDINATOR, topics.MODEL_EVENTS),
)
REFUSED_TO_WRITE = (
    (OURS, topics.step_ready("default")),
    (OURS, topics.step_ready("gpu")),
    (OURS, topics.RUNNER_COMMANDS),
    (OURS, topics.RUN_COMMANDS),
    (OURS, topics.STEP_REQUESTS),
    (OURS, topics.RUN_EVENTS),
    (OURS, topics.MODEL_EVENTS),
    (VIEW, topics.RUN_EVENTS),
    (PUBLISHER, topics.STEP_EVENTS),
    (COORDINATOR, topics.MODEL_EVENTS),
)


@pytest.mark.parametrize(("account", "topic"), REFUSED_TO_READ)
def test_an_account_cannot_read_what_is_not_for_it(
    system: System, account: str, topic: str
) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        read(system, account, topic)


@pytest.mark.parametrize(("account", "topic"), REFUSED_TO_WRITE)
def test_an_account_cannot_write_what_is_not_its_to_say(
    system: System, account: str, topic: str
) -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        write(system, account, topic)


def test_only_coordinators_join_their_group(system: System) -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        read(system, OURS, topics.RUNNER_COMMANDS, group="kaon-coordinator")


def test_every_right_is_one_that_somebody_uses(system: System) -> None:
    """What is written by its owner's account arrives, and is read by that of its reader."""
    letters = topics.dead_letters(topics.RUNNER_COMMANDS)
    write(system, OURS, letters, b"letter")
    write(system, COORDINATOR, topics.step_ready("gpu"), b"release")
    assert [record.value for record in read(system, OTHERS, topics.step_ready("gpu"))]
    write(system, PUBLISHER, topics.MODEL_EVENTS, b"model")
    assert [each.value for each in read(system, "consumer", topics.MODEL_EVENTS)] == [b"model"]
    write(system, COORDINATOR, topics.RUN_EVENTS)
    assert read(system, VIEW, topics.RUN_EVENTS)


@pytest.mark.parametrize("wrong", ["password", "authority", "nothing", "pool"])
def test_a_runner_without_the_right_account_does_not_start(
    system: System, tmp_path: Path, wrong: str
) -> None:
    told = system.kafka.account(OURS)
    if wrong == "password":
        (tmp_path / "password").write_text("guessed")
        told |= {"KAON_KAFKA_PASSWORD_FILE": str(tmp_path / "password")}
    elif wrong == "authority":
        del told["KAON_KAFKA_CA"]
    elif wrong == "nothing":
        told = {}
    else:
        told = system.kafka.account(OTHERS)
    # In a process of its own: the client leaves sockets behind when it is refused.
    code = (
        "import os\n"
        "from kaon_runner.transport.kafka import KafkaTransport\n"
        "from kaon_service.kafka_security import KafkaSecurity\n"
        f"KafkaTransport({system.kafka.address!r}, pool='default', connect_seconds=3.0,\n"
        "    security=KafkaSecurity.read(os.environ)).start('thief', print)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ | told,
    )
    assert done.returncode == 1, done.stderr
    assert "kaon_wire.errors.Unavailable: Kafka" in done.stderr


async def test_a_certificate_serves_instead_of_a_password(system: System) -> None:
    assert system.lines is not None
    accounts = system.lines.kafka
    told = KafkaSecurity.read(accounts.certificate_variables(COORDINATOR))
    address = f"127.0.0.1:{accounts.certificate_port}"
    producing = Producing(
        bootstrap=address, security=told, patience=10, watch=BrokerWatch(silence=10)
    )
    await producing.start()
    assert producing.partitions(topics.STEP_EVENTS) == CATALOGUE.run_partitions
    await producing.stop()
    records = KafkaRecords(address, told)
    fetched = await records.fetch(topics.RUN_EVENTS, {0: 0}, 10)
    await records.close()
    assert fetched.positions
    broker = await asyncio.to_thread(
        KafkaBroker, address, KafkaSecurity.read(accounts.certificate_variables(PUBLISHER))
    )
    await asyncio.to_thread(broker.send, b"model")
    await asyncio.to_thread(broker.close)


def test_topics_and_rights_can_be_written_again(system: System) -> None:
    administrator = security(system, "administrator")
    assert create_topics(system.kafka.address, CATALOGUE, 1, administrator) == []
    granted = grant_rights(system.kafka.address, CATALOGUE, "User:kaon-{account}", administrator)
    assert granted == len(rights_of(CATALOGUE))
    with pytest.raises(Unavailable, match="grant"):
        grant_rights(system.kafka.address, CATALOGUE, "User:kaon-{account}", security(system, OURS))


def test_announcements_go_on_while_the_publishers_account_is_replaced(system: System) -> None:
    """The steps of docs/lines.md: a second account with the same rights, and the first one is removed."""
    address, mechanism = system.kafka.address, ScramMechanism.SCRAM_SHA_512
    first, administrator = security(system, PUBLISHER), security(system, "administrator")
    second = replace(first, user="kaon2-publisher", password="of the second")
    with (
        closing(KafkaAdminClient(bootstrap_servers=address, **administrator.arguments)) as admin,
        closing(KafkaBroker(address, first)) as announcing,
    ):
        announcing.send(b"by the first")
        made = UserScramCredentialUpsertion(second.user, mechanism, second.password)
        admin.alter_user_scram_credentials([made])
        grant_rights(address, CATALOGUE, "User:kaon2-{account}", administrator)
        admin.alter_user_scram_credentials([UserScramCredentialDeletion(first.user, mechanism)])
        try:
            # Who is connected goes on until it is restarted with the second one.
            announcing.send(b"by the first, still")
            with closing(KafkaBroker(address, second)) as restarted:
                restarted.send(b"by the second")
            client = AdminClient(connection(address, first))
            with pytest.raises(KafkaException):
                client.list_topics(timeout=5)
        finally:
            kept = UserScramCredentialUpsertion(first.user, mechanism, first.password)
            admin.alter_user_scram_credentials([kept])
    told = read(system, "consumer", topics.MODEL_EVENTS)
    assert [each.value for each in told][-3:] == [
        *(b"by the first", b"by the first, still", b"by the second")
    ]


def test_a_stolen_runner_settles_and_drains_nothing(
    system: System, api: Api, tmp_path: Path
) -> None:
    """It has the password of its own pool, and knows all ids; somebody even lets it write commands."""
    flow = load("faults/single.py", "FLOWS")["times-out"]
    run = api.submit(flow, ledger=str(tmp_path / "ledger"))
    running = api.await_leased(run, "only")
    before = gauge(system, "coordinator", "kaon_unproven_reports")
    forged = step_pb2.StepEvents(runner_id="runner-1", incarnation=running.incarnation)
    key = step_pb2.StepKey(
        run_id=run, path="only", attempt=running.attempt, generation=running.generation
    )
    forged.events.add(key=key, succeeded=step_pb2.StepSucceeded(outputs_json={"out": "1"}))
    partition = partition_of(run, CATALOGUE.run_partitions)
    producer = KafkaProducer(
        bootstrap_servers=system.kafka.address, acks="all", **security(system, OTHERS).arguments
    )
    producer.send(topics.STEP_EVENTS, value=forged.SerializeToString(), partition=partition).get(10)
    producer.close(timeout=1)
    drain = runner_pb2.RunnerCommands(incarnation="*", pool="default")
    drain.commands.add().drain.grace_ms = 0
    write(system, "administrator", topics.RUNNER_COMMANDS, drain.SerializeToString())
    leaving = runner_pb2.RunnerHeartbeat(
        pool="default", incarnation=running.incarnation, sequence=1 << 40, leaving=True
    )
    thief = HeartbeatSigner(b"of pool other" * 3, pool="default")
    for value in (leaving.SerializeToString(), thief.seal(leaving)):
        write(system, "administrator", topics.RUNNER_HEARTBEATS, value)
    silenced = "kaon_unproven_heartbeats"
    until(lambda: gauge(system, "coordinator", silenced) == 2, seconds=30, what=silenced)
    dropped = "kaon_runner_dropped_commands_total"
    until(lambda: gauge(system, "step-runner-1", dropped) >= 1, seconds=30, what=dropped)
    unproven = "kaon_unproven_reports"
    until(lambda: gauge(system, "coordinator", unproven) > before, seconds=30, what=unproven)
    assert gauge(system, "step-runner-1", "kaon_runner_draining") == 0
    assert api.wait(run).status == run_pb2.STATUS_FAILED
    assert api.steps(run)["only"].status == run_pb2.STATUS_TIMED_OUT
