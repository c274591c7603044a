"""How partitions are spread over the coordinators of a system."""

from __future__ import annotations

import re
import urllib.request

from support import until

from kaon_local.service import Service
from kaon_local.system import System

# Of `kaon_wire.topics.Catalogue`.
PARTITIONS = 8


def owned(system: System, coordinator: Service) -> int:
    """How many partitions a coordinator owns, as it tells Prometheus."""
    address = system.metrics[coordinator.name]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        found = re.search(r"^kaon_partitions_owned (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def shares(system: System) -> list[int]:
    """How many partitions each running coordinator owns."""
    return [owned(system, each) for each in system.coordinators if each.running]


def await_spread(system: System, owners: int) -> None:
    """Waits until so many coordinators share all partitions."""
    until(
        lambda: len(now := shares(system)) == owners and sum(now) == PARTITIONS and min(now) > 0,
        seconds=60,
        what=f"{owners} owners of all partitions, not {shares(system)}",
    )
