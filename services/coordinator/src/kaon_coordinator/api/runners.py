"""RunnerService: the runners that the matchers of this process know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc

# The runners of a pool, or of all pools when it is empty.
Runners = Callable[[str], Sequence[runner_pb2.Runner]]


class RunnerServicer(runner_pb2_grpc.RunnerServiceServicer):
    """Shows runners. They belong to the deployment, not to a tenant."""

    def __init__(self, runners: Runners) -> None:
        self._runners = runners

    async def ListRunners(  # noqa: N802
        self, request: runner_pb2.ListRunnersRequest, context: Any
    ) -> runner_pb2.ListRunnersResponse:
        found = sorted(self._runners(request.pool), key=lambda runner: (runner.pool, runner.runner_id))
        return runner_pb2.ListRunnersResponse(runners=found)
