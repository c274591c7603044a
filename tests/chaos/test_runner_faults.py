"""Runners that die, sleep, lose their broker, come and go: no step is lost, none is accepted twice."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import weather
from support import Api, ledger_lines, load, until

from kaon_local.ports import HOST
from kaon_local.proxy import ProxyConfig, TcpProxy
from kaon_local.service import Service
from kaon_local.system import System
from kaonapi.run.v1 import run_pb2

pytestmark = [pytest.mark.real, pytest.mark.timeout(weather.full_or(900, 240))]
LEASE_SECONDS = 10.0


@pytest.fixture
def api(light_system: System) -> Iterator[Api]:
    api = Api(light_system.api)
    yield api
    api.close()


def test_steps_of_runners_that_are_killed_again_and_again_start_again_in_time(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    count, deaths = weather.full_or((1500, 20), (150, 3))
    run = api.submit(load("storms/storm.py"), count=count, seconds=1.5, ledger=str(ledger))
    chance = random.Random(1)
    waits: list[float] = []
    for _ in range(deaths):
        until(
            lambda: len(weather.running_steps(ledger)) >= 8, seconds=30, what="all slots are busy"
        )
        time.sleep(chance.random())
        victim = weather.runner_named(light_system, chance.choice(["runner-1", "runner-2"]))
        victim.kill()
        killed = time.time()
        lost = weather.running_steps(ledger, victim.config.env["KAON_RUNNER_ID"])
        victim.start()
        until(
            lambda lost=lost, killed=killed: weather.started_since(ledger, lost, killed),
            seconds=30,
            what=f"{lost} start again",
        )
        waits += [weather.starts(ledger)[step][-1]["time"] - killed for step in lost]
        # A step that is hit three times is taken for the cause, and quarantined.
        until(
            lambda lost=lost: not lost.keys() & weather.running_steps(ledger).keys(),
            seconds=30,
            what="they end",
        )
    assert api.wait(run, 300).status == run_pb2.STATUS_SUCCEEDED
    weather.accepted_once(api, run)
    assert weather.total_of(api, run) == sum(range(count))
    print(
        f"{deaths} kills, {len(waits)} steps lost their runner and started again after "
        f"{sorted(waits)[len(waits) // 2]:.1f} s (median), {max(waits):.1f} s (longest)"
    )
    assert len(waits) >= deaths
    assert max(waits) <= 12


def test_a_runner_that_sleeps_for_two_leases_wakes_to_steps_that_are_not_its_own(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    run = api.submit(load("storms/storm.py"), count=16, seconds=3.0, ledger=str(ledger))
    until(lambda: len(weather.running_steps(ledger)) >= 8, seconds=30, what="both runners work")
    sleeper = weather.runner_named(light_system, "runner-1")
    taken = [step for step, runner in weather.running_steps(ledger).items() if runner == "runner-1"]
    sleeper.pause()
    time.sleep(2 * LEASE_SECONDS)
    sleeper.resume()
    assert api.wait(run).status == run_pb2.STATUS_SUCCEEDED
    weather.accepted_once(api, run)
    steps = api.steps(run)
    assert {steps[step].runner_id for step in taken} == {"runner-2"}
    # It is of use again.
    again = api.submit(
        load("storms/storm.py"), count=12, seconds=0.5, ledger=str(tmp_path / "again")
    )
    assert api.wait(again).status == run_pb2.STATUS_SUCCEEDED
    runners = {lines[0]["runner"] for lines in weather.starts(tmp_path / "again").values()}
    assert runners == {"runner-1", "runner-2"}


def test_steps_that_kill_their_runner_are_quarantined_after_three(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    run = api.submit(load("storms/storm.py", "FLOWS")["poison"], ledger=str(ledger))
    over = threading.Event()

    def revive() -> None:
        while not over.wait(0.2):
            for runner in light_system.runners:
                if not runner.running:
                    runner.stop()
                    runner.start()

    reviver = threading.Thread(target=revive)
    reviver.start()
    try:
        ended = api.wait(run, 120)
    finally:
        over.set()
        reviver.join()
    step = api.steps(run)["only"]
    assert ended.status == run_pb2.STATUS_FAILED
    assert step.status == run_pb2.STATUS_QUARANTINED
    assert step.lost_runners == 3
    assert step.attempt == 1, "lost runners use up no attempt"
    # On a busy machine a runner may die before it has told that the step began: such a start is not the step's loss.
    assert {line["generation"] for line in ledger_lines(ledger)} == {1, 2, 3}


def leave(runner: Service, coming: Future[None]) -> None:
    """Asks a runner to go when it has come, and waits until it has gone."""
    coming.result()
    runner.stop()
    assert runner.exit_code == 0


def test_runners_that_come_and_go_fail_no_step(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    count, seconds, length = weather.full_or((5000, 180.0, 0.4), (180, 14.0, 1.2))
    run = api.submit(load("storms/storm.py"), count=count, seconds=length, ledger=str(ledger))
    came: list[Service] = []
    with ThreadPoolExecutor(32) as pool:
        coming: list[Future[None]] = []
        going: list[Future[None]] = []
        began = time.monotonic()
        for turn in range(round(seconds / 2)):
            came.append(light_system.add_runner(100 + turn, KAON_DRAIN_SECONDS="5"))
            coming.append(pool.submit(came[-1].start))
            if turn >= 4:
                going.append(pool.submit(leave, came[turn - 4], coming[turn - 4]))
            time.sleep(max(0.0, began + 2 * (turn + 1) - time.monotonic()))
        for move in (*coming, *going):
            move.result()
    ended = api.wait(run, 600)
    assert ended.status == run_pb2.STATUS_SUCCEEDED, ended.error
    weather.accepted_once(api, run)
    assert weather.total_of(api, run) == sum(range(count))
    steps = api.steps(run).values()
    workers = {lines[0]["runner"] for lines in weather.starts(ledger).values()}
    print(
        f"{len(came)} runners came, one every 2 s, and {len(came) - 4} left; {len(workers)} runners worked"
    )
    assert weather.lost(steps) == 0, "a runner that leaves hands back"
    assert all(step.attempt == 1 for step in steps)
    assert len(workers) > 2


def test_a_coordinator_that_is_killed_under_a_wide_foreach_goes_on(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    count, deaths = weather.full_or((5000, 3), (500, 1))
    run = api.submit(load("storms/storm.py"), count=count, seconds=0.05, ledger=str(ledger))
    for death in range(1, deaths + 1):
        share = count * death // (deaths + 2)
        until(
            lambda share=share: len(weather.starts(ledger)) >= share,
            seconds=240,
            what=f"{share} starts",
        )  # type: ignore[misc]
        killed = time.monotonic()
        light_system.coordinator.kill()
        light_system.coordinator.start()
        before = len(weather.starts(ledger))
        until(
            lambda before=before: len(weather.starts(ledger)) > before,
            seconds=30,
            what="work goes on",
        )  # type: ignore[misc]
        print(
            f"after the coordinator's death the next step started within {time.monotonic() - killed:.1f} s"
        )
    assert api.wait(run, 600).status == run_pb2.STATUS_SUCCEEDED
    weather.accepted_once(api, run)
    assert weather.total_of(api, run) == sum(range(count))


def test_no_step_is_lost_while_the_broker_is_away(
    light_system: System, api: Api, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    away = weather.full_or(30.0, 13.0)
    run = api.submit(load("storms/storm.py"), count=24, seconds=4.0, ledger=str(ledger))
    until(lambda: len(weather.running_steps(ledger)) >= 8, seconds=30, what="both runners work")
    light_system.kafka.kill()
    time.sleep(away)
    light_system.kafka.start()
    assert api.wait(run, 180).status == run_pb2.STATUS_SUCCEEDED
    weather.accepted_once(api, run)
    steps = api.steps(run).values()
    assert weather.lost(steps) == 0, "an absent broker costs no step"
    executions = [line for line in ledger_lines(ledger) if line["event"] == "done"]
    assert len(executions) == 24, "nothing ran twice"


# --- behind a proxy ---------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy(light_system: System) -> Iterator[TcpProxy]:
    listener = light_system.kafka.config.proxied
    assert listener is not None
    config = ProxyConfig(upstream_port=listener.port, port=listener.advertised_port)
    with TcpProxy(config) as proxy:
        yield proxy


@pytest.fixture
def behind(light_system: System, proxy: TcpProxy) -> Iterator[System]:
    """The system in which runner-1 reaches the broker through the proxy, and runner-2 without it."""
    runner = light_system.runners[0]
    usual = runner.config
    address = f"{HOST}:{proxy.config.port}"
    runner.config = replace(usual, env={**usual.env, "KAON_KAFKA": address})
    runner.restart()
    yield light_system
    proxy.heal()
    runner.config = usual
    runner.restart()


def test_a_runner_that_is_cut_from_the_broker_loses_its_steps_to_another_and_comes_back(
    behind: System, proxy: TcpProxy, tmp_path: Path
) -> None:
    api = Api(behind.api)
    ledger = tmp_path / "ledger"
    run = api.submit(load("storms/storm.py"), count=40, seconds=3.0, ledger=str(ledger))
    until(
        lambda: set(weather.running_steps(ledger).values()) == {"runner-1", "runner-2"},
        seconds=30,
        what="both runners work",
    )
    cut = time.monotonic()
    proxy.cut()
    time.sleep(weather.full_or(30.0, 15.0))
    proxy.heal()
    print(f"cut for {time.monotonic() - cut:.0f} s")
    assert api.wait(run, 180).status == run_pb2.STATUS_SUCCEEDED
    weather.accepted_once(api, run)
    assert weather.lost(api.steps(run).values()) > 0, "what the cut runner held went elsewhere"
    again = api.submit(
        load("storms/storm.py"), count=12, seconds=0.5, ledger=str(tmp_path / "again")
    )
    assert api.wait(again).status == run_pb2.STATUS_SUCCEEDED
    runners = {lines[0]["runner"] for lines in weather.starts(tmp_path / "again").values()}
    assert runners == {"runner-1", "runner-2"}, "the healed runner gets steps again"
    api.close()


def test_delay_and_resets_cost_no_lease(behind: System, proxy: TcpProxy, tmp_path: Path) -> None:
    api = Api(behind.api)
    ledger = tmp_path / "ledger"
    count = weather.full_or(400, 48)
    behind.runners[1].stop()
    proxy.delay(0.2)
    proxy.reset(0.05)
    began = time.monotonic()
    run = api.submit(load("storms/storm.py"), count=count, seconds=1.0, ledger=str(ledger))
    assert api.wait(run, 500).status == run_pb2.STATUS_SUCCEEDED
    weather.accepted_once(api, run)
    steps = api.steps(run).values()
    executions = [line for line in ledger_lines(ledger) if line["event"] == "done"]
    print(f"{time.monotonic() - began:.0f} s with 200 ms delay, {proxy.resets} connections reset")
    assert proxy.resets > 0
    assert weather.lost(steps) == 0, "a lease expired although its runner was alive"
    assert len(executions) == count
    api.close()
