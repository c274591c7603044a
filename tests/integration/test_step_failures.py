"""Each way in which a step can go wrong, on the real system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer
from support import Api, alive, ledger_lines, load, until

from kaon_local.system import System
from kaonapi.log.v1 import log_pb2, log_pb2_grpc
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture
def api(small_system: System) -> Iterator[Api]:
    api = Api(small_system.api)
    yield api
    api.close()


def run_alone(api: Api, name: str, ledger: Path) -> tuple[run_pb2.Run, run_pb2.StepView]:
    run = api.submit(load("faults/single.py", "FLOWS")[name], ledger=str(ledger))
    return api.wait(run), api.steps(run)["only"]


def test_a_step_that_fails_is_retried_and_ends_the_run_with_its_own_words(
    api: Api, tmp_path: Path
) -> None:
    run, step = run_alone(api, "fails", tmp_path / "ledger")
    assert run.status == run_pb2.STATUS_FAILED
    assert step.attempt == 2
    assert run.error.type == "ValueError"
    assert "the data has no rows" in run.error.message
    assert "work.py" in run.error.message
    assert "Traceback" in run.error.details
    assert run.error.error_class == step_pb2.ERROR_CLASS_USER


def test_a_step_that_takes_too_long_is_timed_out_and_leaves_no_process(
    api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    run, step = run_alone(api, "times-out", ledger)
    assert run.status == run_pb2.STATUS_FAILED
    assert step.status == run_pb2.STATUS_TIMED_OUT
    assert not any(alive(line["pid"]) for line in ledger_lines(ledger))


def test_a_step_with_other_outputs_than_declared_fails_with_the_difference(
    api: Api, tmp_path: Path
) -> None:
    run, _ = run_alone(api, "misnames", tmp_path / "ledger")
    assert run.status == run_pb2.STATUS_FAILED
    assert run.error.type == "OutputMismatch"
    assert "other" in run.error.message
    assert "out" in run.error.message


def test_a_step_that_exits_by_a_signal_fails_with_the_signals_name(
    api: Api, tmp_path: Path
) -> None:
    run, _ = run_alone(api, "dies", tmp_path / "ledger")
    assert run.status == run_pb2.STATUS_FAILED
    assert run.error.type == "Signal"
    assert "SIGSEGV" in run.error.message


def test_a_step_that_prints_100_mb_succeeds_and_its_logs_are_bounded(
    api: Api, small_system: System, tmp_path: Path
) -> None:
    run, step = run_alone(api, "prints-much", tmp_path / "ledger")
    assert run.status == run_pb2.STATUS_SUCCEEDED, run.error
    logs = log_pb2_grpc.LogServiceStub(api.channel)
    request = log_pb2.ReadLogsRequest(run_id=run.run_id)
    lines = [line for response in logs.ReadLogs(request) for line in response.lines.lines]
    assert lines, "the beginning of what it printed is there"
    assert len(lines) <= 11_000
    assert step.outputs_json["out"] == "1"


def test_other_steps_go_on_while_one_prints_100_mb(api: Api, tmp_path: Path) -> None:
    loud = api.submit(
        load("faults/single.py", "FLOWS")["prints-much"], ledger=str(tmp_path / "loud")
    )
    quiet = api.submit(
        load("faults/workflow.py"), count=2, seconds=0.1, ledger=str(tmp_path / "quiet")
    )
    assert api.wait(quiet, 20).status == run_pb2.STATUS_SUCCEEDED
    assert api.wait(loud).status == run_pb2.STATUS_SUCCEEDED


def test_a_cancelled_run_leaves_no_process_within_five_seconds(api: Api, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    run = api.submit(load("faults/single.py", "FLOWS")["outlives"], ledger=str(ledger))
    until(lambda: bool(ledger_lines(ledger)), seconds=20, what="the step's start")
    api.cancel(run)
    pid = ledger_lines(ledger)[0]["pid"]
    until(lambda: not alive(pid), seconds=5, what="the step's process is gone")
    assert api.wait(run, 5).status == run_pb2.STATUS_CANCELLED


def test_logs_of_a_step_can_be_read_with_their_order(api: Api, tmp_path: Path) -> None:
    run, _ = run_alone(api, "fails", tmp_path / "ledger")
    logs = log_pb2_grpc.LogServiceStub(api.channel)
    responses = list(logs.ReadLogs(log_pb2.ReadLogsRequest(run_id=run.run_id, path="only")))
    by_attempt: dict[int, list[int]] = {}
    for response in responses:
        numbers = by_attempt.setdefault(response.lines.key.attempt, [])
        numbers += [line.sequence for line in response.lines.lines]
    assert all(numbers == sorted(numbers) for numbers in by_attempt.values())


def test_garbage_on_the_topics_kills_nobody(api: Api, small_system: System, tmp_path: Path) -> None:
    catalogue = small_system.catalogue
    read = [topic for topic in catalogue.topics() if not topic.name.endswith("-dlq")]
    producer = KafkaProducer(bootstrap_servers=small_system.kafka.address)
    for topic in read:
        for partition in range(topic.partitions):
            producer.send(topic.name, value=b"\xff\xfe no message", partition=partition)
    producer.flush()
    producer.close()
    run = api.submit(
        load("faults/workflow.py"), count=2, seconds=0.1, ledger=str(tmp_path / "ledger")
    )
    assert api.wait(run, 30).status == run_pb2.STATUS_SUCCEEDED
    assert all(component.running for component in small_system.supervisor.components)
