"""What a matcher wants done. Losing any of it is harmless: heartbeats and pool reports show it, and it is done again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2


@dataclass(frozen=True, kw_only=True)
class Release:
    """Hand these steps to one life of a runner, in this order."""

    incarnation: str
    # Serialized StepRequests.
    requests: list[bytes]


@dataclass(frozen=True, kw_only=True)
class Withdraw:
    """Ask a runner to hand a step back that it has not started."""

    incarnation: str
    key: step_pb2.StepKey


@dataclass(frozen=True, kw_only=True)
class AskRunners:
    """Ask every runner for a heartbeat at once: this matcher is new."""

    pool: str
    pool_epoch: int


@dataclass(frozen=True, kw_only=True)
class OpenPool:
    """Ask the owner of every engine partition what is READY and what is held."""

    message: command_pb2.PoolOpened


@dataclass(frozen=True, kw_only=True)
class ReportPool:
    """Tell the owner of `message.partition` how many of its requests this matcher knows."""

    message: command_pb2.PoolReport


Effect: TypeAlias = Release | Withdraw | AskRunners | OpenPool | ReportPool
