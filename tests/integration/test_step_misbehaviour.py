"""Steps that misbehave towards the machine, on the real system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
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


def submit(api: Api, name: str, ledger: Path) -> str:
    return api.submit(load("storms/storm.py", "FLOWS")[name], ledger=str(ledger))


def directories(system: System) -> set[Path]:
    """Those of all steps; runners that other tests have killed may have left some."""
    return {
        path for runner in system.runners for path in (runner.state / "work" / "steps").glob("*/*")
    }


def test_a_cancel_ends_a_step_deaf_to_sigterm_and_the_daemon_that_it_left(
    api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    run = submit(api, "forks-a-daemon", ledger)
    until(lambda: len(ledger_lines(ledger)) == 2, seconds=30, what="the step and its daemon run")
    pids = [line["pid"] for line in ledger_lines(ledger)]
    assert all(alive(pid) for pid in pids)
    api.cancel(run)
    until(
        lambda: not any(alive(pid) for pid in pids),
        seconds=6,
        what="no process of the step is left",
    )
    assert api.wait(run, 10).status == run_pb2.STATUS_CANCELLED


def test_a_step_that_fills_its_disk_quota_fails_with_figures_and_leaves_nothing(
    api: Api, small_system: System, tmp_path: Path
) -> None:
    before = directories(small_system)
    run = api.wait(submit(api, "fills-its-disk", tmp_path / "ledger"), 30)
    assert (run.error.type, run.error.error_class) == ("DiskQuota", step_pb2.ERROR_CLASS_USER)
    assert "its quota is 50.0 MiB" in run.error.message
    assert directories(small_system) <= before


def test_a_step_that_eats_its_memory_fails_with_its_limit_and_peak(
    api: Api, tmp_path: Path
) -> None:
    run = api.wait(submit(api, "eats-its-memory", tmp_path / "ledger"), 30)
    assert (run.error.type, run.error.error_class) == ("OutOfMemory", step_pb2.ERROR_CLASS_USER)
    assert "its limit is 114.4 MiB" in run.error.message
    assert "its peak was 114." in run.error.message


def test_what_a_step_prints_without_a_newline_is_seen_while_it_runs(
    api: Api, tmp_path: Path
) -> None:
    run = submit(api, "prints-without-newline", tmp_path / "ledger")
    logs = log_pb2_grpc.LogServiceStub(api.channel)

    def lines() -> list[log_pb2.LogLine]:
        request = log_pb2.ReadLogsRequest(run_id=run)
        return [line for response in logs.ReadLogs(request) for line in response.lines.lines]

    until(
        lambda: any(line.text == "loading" for line in lines()),
        seconds=30,
        what="the text without an end is in the log",
    )
    (tmp_path / "ledger.seen").touch()
    assert api.wait(run, 30).status == run_pb2.STATUS_SUCCEEDED
    until(
        lambda: sum(line.size_bytes or len(line.text) for line in lines()) == 2_000_007,
        seconds=10,
        what="all that was printed is told in the log",
    )
    first, *others = lines()
    assert not first.continues
    assert all(line.continues for line in others)
