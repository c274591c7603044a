"""Refusals of commands that came too late or do not fit, recorded in the history for their requester."""

from __future__ import annotations

from kaon_coordinator.engine.decision import Decision
from kaonapi.run.v1 import history_pb2

NOT_BEGUN = "the run has not begun"


def refuse(
    decision: Decision, command: str, path: str, problem: str, requester: str, asked: int = 0
) -> None:
    """Record the refusal of a command with its reason; nothing else changes.

    `asked` is the event number of a parent's retry.
    """
    decision.emit(
        command_refused=history_pb2.CommandRefused(
            command=command, path=path, problem=problem, requester=requester, asked=asked
        )
    )
