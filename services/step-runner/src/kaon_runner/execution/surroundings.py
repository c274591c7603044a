"""Dependencies that all executions of a runner share, and the reasons for stopping one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from kaon_runner.artifacts.base import Artifacts
from kaon_runner.leases.table import Lease
from kaon_runner.preparation.preparer import Preparer
from kaon_runner.settings import Settings
from kaon_runner.steptypes.base import StepType
from kaon_runner.workers.pool import WorkerPool
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2

_Ts = TypeVarTuple("_Ts")
_T = TypeVar("_T")


class Stop(Enum):
    """Reasons for stopping a step."""

    # By the engine: report StepStopped.
    REVOKED = "revoked"
    # By the engine, because another runner holds the step: report nothing.
    STALE = "stale"
    # By the runner, because the attempt exceeded its time-out: report StepFailed.
    TIMEOUT = "timeout"
    # By the runner, because it exceeds its disk space: report StepFailed.
    DISK = "disk"
    # By the runner, because what it reported cannot be: report StepFailed.
    FAULT = "fault"
    # By the runner, because it leaves: hand back.
    LEAVING = "leaving"
    # By the matcher, before the start: hand back.
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The dependencies that all executions of a runner share."""

    settings: Settings
    preparer: Preparer
    artifacts: Artifacts
    pool: WorkerPool
    step_types: Mapping[str, StepType]
    executor: Executor
    # The directory of the complete logs of running steps.
    logs: Path
    report: Callable[[Lease, step_pb2.StepEvent], None]
    send_log: Callable[[int, log_pb2.LogLines], bool]
    # Sends a heartbeat: something of it has changed that people wait to see.
    beat: Callable[[], None]

    async def off_loop(self, function: Callable[[*_Ts], _T], *arguments: *_Ts) -> _T:
        """Call a function that would block the loop on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, function, *arguments)
