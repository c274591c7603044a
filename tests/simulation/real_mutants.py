"""A plugin of pytest that switches off a mechanism of the real store or transport, named by KAON_MUTANT; see `mutants`."""

from __future__ import annotations

import os
from typing import Any

from kaon_coordinator.store.partition_sql import Commits
from kaon_coordinator.transport.faust import FaustTransport


def _fence() -> None:
    Commits.holds = lambda self, connection, partition, epoch: True  # type: ignore[method-assign]


def _early_commit() -> None:
    """Acknowledges what was read before it is applied."""
    real = FaustTransport._deliver

    async def deliver(self: FaustTransport, handler: Any, events: Any) -> None:
        for event in events:
            event.ack()
        await real(self, handler, events)

    FaustTransport._deliver = deliver  # type: ignore[method-assign]


{"fence": _fence, "early-commit": _early_commit}[os.environ["KAON_MUTANT"]]()
