"""Random faults against a running load in containers, and what must hold afterwards, seen from outside. `make chaos MINUTES=n`.

- Every acknowledged submit is a run that succeeds.
- Every step of it is accepted exactly once.
- Every model is announced once, and every consumer sees every announcement once.
- Nothing is left when the system is taken down.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
from container_faults import SERVICES, Fault, choose, inject
from stack import NEEDED, TAG, Stack, StackConfig, alone, remove_orphans
from support import load, until
from watching import Watcher
from workload import Outcome, Workload

from kaon_local.images import build_all

CONSUMERS = 2
# From the end of the last fault to the end of everything that was acknowledged.
SETTLE_SECONDS = 300.0
# Between the end of a fault and the next one, so that some find a whole system and some do not.
QUIET_SECONDS = (0.5, 2.0, 5.0)
# Steps keep every slot busy, whatever their length: shorter ones find no more, and take the processor from what is tested.
STEP_SECONDS = 0.6
PUBLISH_PAUSE = 2.0


@dataclass
class Report:
    """What was injected and what was seen."""

    seed: int
    # With the seconds until the container was healthy again.
    faults: list[tuple[Fault, float]] = field(default_factory=list)
    steps: Outcome = field(default_factory=Outcome)
    models: Outcome = field(default_factory=Outcome)
    announcements: int = 0

    def lines(self) -> Iterator[str]:
        """The report for people."""
        yield f"CHAOS seed {self.seed}: {len(self.faults)} faults"
        counts = Counter(f"{fault.what} {fault.service}" for fault, _ in self.faults)
        for name, count in sorted(counts.items()):
            longest = max(s for fault, s in self.faults if f"{fault.what} {fault.service}" == name)
            yield f"  {count} x {name}, healthy again after at most {longest:.1f} s"
        for what, outcome in (("fan-out", self.steps), ("publishing", self.models)):
            yield (
                f"  {what}: {len(outcome.runs)} runs acknowledged, all succeeded; {outcome.steps} steps, each accepted once; "
                f"{outcome.lost} leases lost; {outcome.repeated} submits repeated; longest pause {outcome.longest_pause:.1f} s"
            )
        yield f"  {self.announcements} announcements, each seen once by each of {CONSUMERS} consumers"


def run(stack: Stack, *, seconds: float, seed: int) -> Report:
    """Breaks a started system for a time, and returns what was seen.

    Raises:
        AssertionError: an invariant does not hold.
    """
    report, chance = Report(seed=seed), random.Random(seed)
    watchers = [
        Watcher(stack.publisher, f"chaos-{number}-{time.time_ns()}").start()
        for number in range(CONSUMERS)
    ]
    steps = Workload(
        stack.api,
        load("containers/workflow.py", "fan_out"),
        at_once=4,
        count=4,
        seconds=STEP_SECONDS,
    )
    models = Workload(
        stack.api,
        load("containers/workflow.py", "publishing"),
        at_once=1,
        pause=PUBLISH_PAUSE,
        factor=2.0,
    )
    steps.start()
    models.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        fault = choose(chance)
        print(f"chaos: {fault}", flush=True)
        report.faults.append((fault, inject(stack, fault)))
        time.sleep(chance.choice(QUIET_SECONDS))
    report.steps, report.models = steps.finish(SETTLE_SECONDS), models.finish(SETTLE_SECONDS)
    _check_announcements(watchers, set(report.models.runs))
    report.announcements = len(report.models.runs)
    return report


def _check_announcements(watchers: list[Watcher], published: set[str]) -> None:
    """Every consumer has seen one announcement of each run's model."""
    until(
        lambda: all(published <= set(watcher.runs) for watcher in watchers),
        seconds=60,
        what=f"every consumer has seen the announcements of {len(published)} runs",
    )
    for watcher in watchers:
        watcher.finish()
        twice = {
            run: count
            for run, count in Counter(watcher.runs).items()
            if run in published and count > 1
        }
        assert not twice, f"models of these runs were announced more than once: {twice}"


@contextmanager
def system(state: Path) -> Iterator[Stack]:
    """A system in containers for the suite alone."""
    scale = [
        word
        for name, count in SERVICES.items()
        if count > 1
        for word in ("--scale", f"{name}={count}")
    ]
    remove_orphans()
    with alone(StackConfig(project=f"kaon-chaos-{os.getpid()}", state=state)) as stack:
        stack.up(*scale)
        yield stack


def main() -> int:
    """Entry point. Exit codes: 0 all invariants hold, 1 one does not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    client = docker.DockerClient(base_url=os.environ.get("DOCKER_HOST"), timeout=300)
    for built in build_all(client, tag=TAG, only=NEEDED):
        print(f"{built.name} built in {built.seconds:.0f} s", flush=True)
    client.close()
    print(f"chaos: seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kaon-chaos-") as state, system(Path(state)) as stack:
        report = run(stack, seconds=arguments.minutes * 60, seed=arguments.seed)
    print("\n".join(report.lines()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
