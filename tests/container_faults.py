"""The faults of the chaos suite: each breaks one container of a system for some seconds, and makes it whole again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from docker.models.containers import Container
from stack import Stack

# Every service that may break, and how many of it there are in the suite.
SERVICES = {
    "coordinator": 2,
    "step-runner": 2,
    "kafka": 1,
    "postgres": 1,
    "model-publisher": 1,
    "registry": 1,
    "gateway": 1,
}
Injection = Callable[[Stack, Container, str, float], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault that was chosen."""

    what: str
    service: str
    # Which of the service's containers.
    index: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.what} {self.service}-{self.index + 1} for {self.seconds:.1f} s"


def kill(stack: Stack, container: Container, service: str, seconds: float) -> None:
    """SIGKILL, as a crash would; it comes back after some seconds."""
    container.kill()
    time.sleep(seconds)
    container.start()


def restart(stack: Stack, container: Container, service: str, seconds: float) -> None:
    """SIGTERM and a new start, as an upgrade would."""
    container.restart(timeout=20)


def freeze(stack: Stack, container: Container, service: str, seconds: float) -> None:
    """It exists and does nothing, as a machine that swaps."""
    container.pause()
    time.sleep(seconds)
    container.unpause()


def cut(stack: Stack, container: Container, service: str, seconds: float) -> None:
    """Off the network, with everything that it has open."""
    stack.cut(container)
    time.sleep(seconds)
    stack.mend(container, service)


INJECTIONS: dict[str, Injection] = {"kill": kill, "restart": restart, "freeze": freeze, "cut": cut}
# What has one name for all cannot get its address back, or is reached from outside through a port that a cut removes.
_NEVER_CUT = {"gateway", "model-publisher", "registry", "kafka", "postgres"}


def choose(chance: random.Random) -> Fault:
    """The next fault; the same seed chooses the same ones."""
    service = chance.choice(sorted(SERVICES))
    kinds = [what for what in INJECTIONS if what != "cut" or service not in _NEVER_CUT]
    # Shorter and longer than a lease (10 s).
    seconds = chance.choice((1.0, 3.0, 6.0, 12.0))
    index = chance.randrange(SERVICES[service])
    return Fault(what=chance.choice(kinds), service=service, index=index, seconds=seconds)


def inject(stack: Stack, fault: Fault) -> float:
    """Does it, and returns the seconds until the container was healthy again."""
    began = time.monotonic()
    container = stack.containers(fault.service, running=False)[fault.index]
    INJECTIONS[fault.what](stack, container, fault.service, fault.seconds)
    stack.await_healthy(container, 120)
    return time.monotonic() - began
