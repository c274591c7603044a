"""A runner as a process of its own, over a real Kafka: hello, work, death, the broker's death."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from harness import python, shell
from kafka_harness import KafkaSystem, RunnerProcess
from processes import read_pid, wait_gone

from kaon_local.kafka import Kafka, KafkaConfig
from kaon_local.ports import free_port
from kaon_wire.topics import Catalogue

pytestmark = pytest.mark.real


@pytest.fixture
def system(kafka: Kafka) -> Iterator[KafkaSystem]:
    system = KafkaSystem(kafka.address)
    yield system
    system.close()


@pytest.fixture
def runner(kafka: Kafka, tmp_path: Path) -> Iterator[RunnerProcess]:
    runner = RunnerProcess(kafka.address, tmp_path)
    yield runner
    runner.end()


def test_a_runner_says_hello_works_and_leaves_on_sigterm(
    system: KafkaSystem, runner: RunnerProcess
) -> None:
    incarnation = system.incarnation(runner)
    wanted = [python("add", inputs={"a": n, "b": 1}, outputs={"sum": "int"}) for n in range(50)]
    system.release(incarnation, *wanted)
    for number, one in enumerate(wanted):
        event = system.final(one.key)
        assert json.loads(event.succeeded.outputs_json["sum"]) == number + 1
    runner.process.send_signal(signal.SIGTERM)
    assert runner.process.wait(20) == 0
    assert [beat for beat in system.heartbeats if beat.incarnation == incarnation][-1].leaving


@pytest.mark.parametrize("isolation", ["WARM", "PROCESS"])
def test_a_killed_runner_leaves_no_process(
    system: KafkaSystem, runner: RunnerProcess, tmp_path: Path, isolation: str
) -> None:
    wanted = python("escape", inputs={"path": str(tmp_path / "pid")}, isolation=isolation)
    system.release(system.incarnation(runner), wanted)
    daemon = read_pid(tmp_path / "pid")
    family = [child.pid for child in psutil.Process(runner.process.pid).children(recursive=True)]
    assert daemon in family
    runner.process.kill()
    runner.process.wait()
    for pid in (*family, daemon):
        wait_gone(pid, 8)


def test_a_killed_runner_leaves_no_idle_worker(system: KafkaSystem, runner: RunnerProcess) -> None:
    wanted = python("whoami", outputs={"pid": "int"})
    system.release(system.incarnation(runner), wanted)
    pid = json.loads(system.final(wanted.key).succeeded.outputs_json["pid"])
    runner.process.kill()
    runner.process.wait()
    wait_gone(pid, 5)


def test_a_step_whose_supervisor_is_killed_is_ended_and_fails(
    system: KafkaSystem, runner: RunnerProcess, tmp_path: Path
) -> None:
    wanted = python("escape", inputs={"path": str(tmp_path / "pid")}, isolation="PROCESS")
    system.release(system.incarnation(runner), wanted)
    daemon = read_pid(tmp_path / "pid")
    supervisor = next(
        p
        for p in psutil.Process(runner.process.pid).children()
        if "supervisor.py" in " ".join(p.cmdline())
    )
    os.kill(supervisor.pid, signal.SIGKILL)
    assert system.final(wanted.key).failed.error.type == "SupervisorLost"
    wait_gone(daemon, 1)


def test_the_cleanup_commands_run_although_the_runner_is_dead(
    system: KafkaSystem, runner: RunnerProcess, tmp_path: Path
) -> None:
    # A supervised child whose cleanup leaves a trace, started the way the runner starts them.
    script = tmp_path / "hold.py"
    script.write_text(
        "import asyncio, os, sys\n"
        "from kaon_runner.supervision import child\n"
        "async def main():\n"
        "    order = child.Order(argv=('sleep', '1000'), env=dict(os.environ), cleanup=(('touch', sys.argv[1]),))\n"
        "    started = await child.start(order)\n"
        "    print(started.pid, flush=True)\n"
        "    await started.ended\n"
        "asyncio.run(main())\n"
    )
    import subprocess
    import sys

    trace = tmp_path / "cleaned"
    with subprocess.Popen(
        [sys.executable, str(script), str(trace)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        holder.kill()
    wait_gone(pid, 5)
    deadline = time.monotonic() + 5
    while not trace.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_health_check_tells_whether_the_runner_is_ready(
    kafka: Kafka, system: KafkaSystem, tmp_path: Path
) -> None:
    port = free_port()
    runner = RunnerProcess(kafka.address, tmp_path, KAON_HEALTH=str(port))
    try:
        system.incarnation(runner)

        def healthy() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    return bool(json.load(answer)["ready"])
            except urllib.error.URLError:
                return False

        system.wait(healthy, 10)
    finally:
        runner.end()


def test_a_runner_without_kafka_address_says_what_to_set(tmp_path: Path) -> None:
    runner = RunnerProcess("", tmp_path)
    assert runner.process.wait(20) == 2
    assert "KAON_KAFKA" in runner.log.read_text()


def test_results_survive_a_broker_that_is_away_for_half_a_minute(tmp_path: Path) -> None:
    broker = Kafka(KafkaConfig(state=tmp_path / "broker", topics=Catalogue().topics()))
    broker.start()
    runner = RunnerProcess(broker.address, tmp_path / "runner")
    try:
        ends_meanwhile, goes_on, after = (
            shell("sleep", "5"),
            shell("sleep", "45"),
            python("nothing"),
        )
        with closing(KafkaSystem(broker.address)) as system:
            incarnation = system.incarnation(runner)
            system.release(incarnation, ends_meanwhile, goes_on)
            system.wait(lambda: system.of(goes_on.key) == ["started"])
        broker.kill()
        time.sleep(30)  # the outage itself
        broker.start()
        with closing(KafkaSystem(broker.address, from_beginning=True)) as system:
            assert system.final(ends_meanwhile.key, 60).WhichOneof("event") == "succeeded"
            assert system.final(goes_on.key, 60).WhichOneof("event") == "succeeded"
            system.release(incarnation, after)
            assert system.final(after.key).WhichOneof("event") == "succeeded"
    finally:
        runner.end()
        broker.kill()
