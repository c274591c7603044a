"""Effects of a matcher. Losing one is harmless: heartbeats and pool reports reveal it, and it is repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kaon_coordinator.matching.tickets import Ticket
from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2


@dataclass(frozen=True, kw_only=True)
class Release:
    """Release these steps to one incarnation of a runner, in this order."""

    incarnation: str
    # With requests.
    tickets: list[Ticket]

    @property
    def requests(self) -> list[bytes]:
        """Return the serialized StepRequests."""
        return [ticket.request for ticket in self.tickets if ticket.request is not None]


@dataclass(frozen=True, kw_only=True)
class Extend:
    """Let a runner start further steps by itself after one that it has begun so."""

    incarnation: str
    # With the steps that may follow it.
    ticket: Ticket


@dataclass(frozen=True, kw_only=True)
class Withdraw:
    """Ask a runner to hand back a step that it has not started."""

    incarnation: str
    key: step_pb2.StepKey


@dataclass(frozen=True, kw_only=True)
class EndChain:
    """Tell a runner to start nothing by itself after this step."""

    incarnation: str
    ticket: Ticket

    @property
    def key(self) -> step_pb2.StepKey:
        """Return the issue of the step."""
        return self.ticket.key


@dataclass(frozen=True, kw_only=True)
class AskRunners:
    """Ask every runner for an immediate heartbeat: this matcher is new."""

    pool: str
    pool_epoch: int


@dataclass(frozen=True, kw_only=True)
class OpenPool:
    """Ask the owner of every engine partition for its READY and held steps."""

    message: command_pb2.PoolOpened


@dataclass(frozen=True, kw_only=True)
class ReportPool:
    """Report to the owner of `message.partition` how many of its requests this matcher knows."""

    message: command_pb2.PoolReport


Effect: TypeAlias = Release | Extend | Withdraw | EndChain | AskRunners | OpenPool | ReportPool
