"""The runner's gate for commands: those that no coordinator has signed are counted and dropped."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from google.protobuf.message import Message

from kaon_service.command_signatures import EVERYONE, CommandVerifier
from kaonapi.runner.v1 import runner_pb2

log = structlog.get_logger(__name__)


class CommandGate:
    """Admits commands.

    Args:
        verifier: Checks signatures; None: every command counts.
        dropped: Called for each record that does not count.
    """

    def __init__(
        self, verifier: CommandVerifier | None = None, dropped: Callable[[], None] = lambda: None
    ) -> None:
        self._verifier = verifier
        self._dropped = dropped

    def admits(self, value: bytes, message: Message) -> bool:
        """Tell whether a record is to be delivered: it counts, or is no command, and is not meant for another pool."""
        if self._verifier is None or not isinstance(message, runner_pb2.RunnerCommands):
            return True
        if message.incarnation == EVERYONE and message.pool not in {"", self._verifier.pool}:
            return False
        problem = self._verifier.problem(value, message)
        if problem:
            self._dropped()
            log.warning("command dropped", incarnation=message.incarnation[:200], reason=problem)
        return not problem


# Without public keys.
OPEN_GATE = CommandGate()
