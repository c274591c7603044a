"""Systems that several tests use: each is put right after a test that broke it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

from kaon.client import Client, Endpoints
from kaon_local.kafka import ProxiedListener
from kaon_local.ports import free_port
from kaon_local.server import Component, Server
from kaon_local.system import System, SystemConfig
from kaonapi.runner.v1 import runner_pb2

# Steps may write so much before they are ended.
STEP_DISK_BYTES = 50 * 2**20
# Runners send heartbeats more often.
_HEARD_SECONDS = 3.0
_OPEN = runner_pb2.RUNNER_CONDITION_OPEN
_DISTRUSTED = (runner_pb2.RUNNER_CONDITION_RESTING, runner_pb2.RUNNER_CONDITION_SLOW)


class SharedSystem:
    """A broker, a coordinator and two runners; started when first wanted, and anew after a test that failed.

    Args:
        state: a directory of its own.
    """

    def __init__(self, state: Path) -> None:
        self.traces = state / "traces.jsonl"
        self._state = state
        self._started = 0
        self._system: System | None = None

    @property
    def system(self) -> System:
        """The running system."""
        if self._system is None:
            self._started += 1
            system = System(self._config(), report=print)
            system.start()
            self._system = system
        return self._system

    def mend(self) -> None:
        """Ends what a test has added, revives what it has killed or paused, and cancels the runs that it has left.

        The coordinator begins anew if it remembers that a runner could not be relied on, and gives it less.
        """
        system = self.system
        own = (system.kafka, *system.coordinators, *system.runners)
        for component in system.supervisor.components:
            if component not in own:
                component.stop()
                system.supervisor.remove(component)
        revive(own)
        with Client(Endpoints(server=system.api)) as client:
            _end_runs(client)
            trusted = _trusts(
                client, [each.config.env["KAON_RUNNER_ID"] for each in system.runners]
            )
        if not trusted:
            system.coordinator.restart()

    def discard(self) -> None:
        """Stops the system, if there is one."""
        if self._system is not None:
            system, self._system = self._system, None
            system.stop()

    def _config(self) -> SystemConfig:
        return SystemConfig(
            state=self._state / str(self._started),
            kept=False,
            engines=False,
            docker=False,
            publisher=False,
            # For tests that put a proxy between a runner and the broker.
            proxied=ProxiedListener(port=free_port(), advertised_port=free_port()),
            env={"KAON_STEP_DISK_BYTES": str(STEP_DISK_BYTES), "KAON_TRACES": str(self.traces)},
        )


def revive(components: Sequence[Component]) -> None:
    """Lets paused components go on and starts those that have ended, in this order."""
    for component in components:
        if isinstance(component, Server):
            component.resume()
        if not component.running:
            component.restart()


def _end_runs(client: Client) -> None:
    """Cancels what has not ended, hooks included, and returns when all of it has ended."""
    for run in client.runs(limit=100_000):
        if run.HasField("end_time"):
            continue
        client.cancel(run.run_id, "its test is over", force=True)
        for _ in client.watch(run.run_id):
            pass


def _trusts(client: Client, runners: Sequence[str]) -> bool:
    """Whether the coordinator knows these runners alone, as ones that have never failed it.

    One that was just started may be heard of within a moment.
    """
    deadline = monotonic() + _HEARD_SECONDS
    while True:
        known = client.runners()
        if any(each.faults or each.condition in _DISTRUSTED for each in known):
            return False
        ready = [each.runner_id for each in known if each.condition == _OPEN]
        if sorted(ready) == sorted(runners) and len(known) == len(ready):
            return True
        if monotonic() > deadline:
            return False
        sleep(0.05)
