"""Decodes records to messages.

An undecodable record is set aside, with the reason, and the next one is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import structlog
from google.protobuf.message import DecodeError, Message

from kaon_runner.transport.command_gate import OPEN_GATE, CommandGate
from kaon_wire.topics import RUNNER_COMMANDS, dead_letters, step_ready
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)
# (topic, partition, value, headers)
Produce: TypeAlias = Callable[[str, int, bytes, Mapping[str, bytes]], None]


class Decoder:
    """Decodes the records for a runner of `pool`.

    Args:
        pool: Names the step-ready topic.
        quarantine: Produces to the dead-letter topics.
        gate: Drops commands that do not count.
    """

    def __init__(self, pool: str, quarantine: Produce, gate: CommandGate = OPEN_GATE) -> None:
        self._gate = gate
        self.types: Mapping[str, type[Message]] = {
            step_ready(pool): step_pb2.StepReleases,
            RUNNER_COMMANDS: runner_pb2.RunnerCommands,
        }
        # Undecodable records so far.
        self.quarantined = 0
        self._quarantine = quarantine

    def decode(self, topic: str, partition: int, offset: int, value: bytes) -> Message | None:
        """Return the message; None when the record contains none, and has been set aside, or does not count."""
        try:
            message = self.types[topic].FromString(value)
            return message if self._gate.admits(value, message) else None
        except DecodeError as error:
            self.quarantined += 1
            log.error(
                "undecodable record set aside",
                topic=topic,
                partition=partition,
                offset=offset,
                reason=str(error),
            )
            reason = f"not a {self.types[topic].DESCRIPTOR.name}: {error}".encode()
            source = f"{topic}/{partition}/{offset}".encode()
            self._quarantine(dead_letters(topic), 0, value, {"reason": reason, "source": source})
            return None
