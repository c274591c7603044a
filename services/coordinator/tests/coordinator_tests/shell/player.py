"""A runner that executes whatever it is given, as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from kaon_wire import canonical
from kaonapi.step.v1 import step_pb2

from .world import World

# What a step gives, by output name; None: it never ends.
Outcome = Mapping[str, Any] | step_pb2.StepError | None


def ones(request: step_pb2.StepRequest) -> Outcome:
    """1 for every output."""
    return dict.fromkeys(request.spec.outputs, 1)


class Player:
    """Takes releases and reports about them, until the test is over. Time passes meanwhile."""

    def __init__(
        self, world: World, play: Callable[[step_pb2.StepRequest], Outcome] = ones
    ) -> None:
        self.world = world
        self.play = play
        # Everything that was released, in order.
        self.requests: list[step_pb2.StepRequest] = []
        # Those that have been started and have not ended.
        self.running: dict[str, step_pb2.StepRequest] = {}
        self.most_at_once = 0

    def end(self, path: str, outcome: Outcome) -> None:
        """Ends a step that runs."""
        request = self.running.pop(path)
        if isinstance(outcome, step_pb2.StepError):
            event: dict[str, Any] = {"failed": step_pb2.StepFailed(error=outcome)}
        else:
            outputs = {name: canonical.dumps(value) for name, value in (outcome or {}).items()}
            event = {"succeeded": step_pb2.StepSucceeded(outputs_json=outputs)}
        self.world.report(request.key, partition=request.partition, **event)

    async def run(self) -> None:
        """Plays until cancelled."""
        self.world.hello()
        while True:
            for request in await self.world.releases():
                self.requests.append(request)
                self.running[request.key.path] = request
                self.most_at_once = max(self.most_at_once, len(self.running))
                self.world.report(
                    request.key, partition=request.partition, started=step_pb2.StepStarted()
                )
                outcome = self.play(request)
                if outcome is not None:
                    self.end(request.key.path, outcome)
            self.world.clock.now += 0.01
            held = [request.key for request in self.running.values()]
            self.world.hello(running=held)
            await asyncio.sleep(0.002)


@asynccontextmanager
async def playing(world: World, play: Callable[[step_pb2.StepRequest], Outcome] = ones):  # type: ignore[no-untyped-def]
    """A runner at work."""
    player = Player(world, play)
    task = asyncio.create_task(player.run())
    try:
        yield player
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
