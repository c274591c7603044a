"""One warm worker: its process, and the steps that are on their way to it."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog

from kaon_runner.leases.slots import Amount, Claim
from kaon_runner.leases.table import fields_of
from kaon_runner.logs.step_log import StepLog
from kaon_runner.steptypes.base import WorkerSpec
from kaon_runner.supervision import child as supervision
from kaon_runner.supervision.child import Bounds, Child, Ending
from kaon_runner.workers.output import WorkerOutput
from kaon_runner.workers.protocol import Channel
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# A worker's memory is measured after so many steps, and after each long step: shorter ones cannot have taken
# much.
_WEIGHED_STEPS = 16
_WEIGHED_SECONDS = 0.01
# Number of ended steps whose late messages are recognised.
_REMEMBERED_STEPS = 16
# The output of a longer step is read live, and the steps that wait behind it go elsewhere.
SLOW_SECONDS = 0.05


class Requeued(Exception):
    """The step was not started and waits for another worker."""


@dataclass(frozen=True, kw_only=True)
class WorkerOutcome:
    """How a step in a worker ended: with an answer of its own, or with the worker."""

    # "succeeded" with "outputs", or "error" with "type", "message", "traceback".
    answer: Mapping[str, Any] | None = None
    # How the worker ended when it sent no answer.
    ending: Ending | None = None


@dataclass(kw_only=True, eq=False)
class WorkerTask:
    """One step for a worker."""

    target: str
    whole: bool
    # The content of context.json, as JSON text.
    context: str
    log: StepLog
    # Steps of equal lanes may follow each other on one claim.
    lane: tuple[str, ...]
    wanted: Amount
    # The limits of its process.
    bounds: Bounds
    # The amounts that it occupies; None while it waits behind another step, whose claim it inherits.
    claim: Claim | None
    on_started: Callable[[], None]
    on_event: Callable[[Mapping[str, Any]], None]
    outcome: asyncio.Future[WorkerOutcome]
    id: int = 0
    started_at: float = 0.0
    worker: WarmWorker | None = None
    started: bool = False

    def settle(self, outcome: WorkerOutcome) -> None:
        """Set the outcome, unless there is one."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def fail(self, fault: Exception) -> None:
        """Raise a fault of the runner to the step's waiter, unless there is an outcome."""
        if not self.outcome.done():
            self.outcome.set_exception(fault)

    def requeue(self) -> None:
        """Return the step to the queue by raising `Requeued` to its waiter."""
        self.worker = None
        if not self.outcome.done():
            self.outcome.set_exception(Requeued())


class Owner(Protocol):
    """The pool's interface to its workers; see `pool.WorkerPool`."""

    directory: Path
    worker_steps: int
    worker_memory_bytes: int

    def became_idle(self, worker: WarmWorker) -> None:
        """Note that a worker has run its last step."""

    def worked(self, worker: WarmWorker) -> None:
        """Note that a worker has executed a step: its kind can be started."""

    def stillborn(self, worker: WarmWorker, ending: Ending) -> bool:
        """Note an end before the first step; return True when too many of its kind ended so consecutively."""

    def forget(self, worker: WarmWorker) -> None:
        """Remove a worker whose process is gone."""


class WarmWorker:
    """One worker process and the steps on their way to it."""

    def __init__(self, spec: WorkerSpec, bounds: Bounds, owner: Owner) -> None:
        self.spec = spec
        self.bounds = bounds
        self.tasks: deque[WorkerTask] = deque()
        self.steps = 0
        # Moving average of the durations of its steps, in seconds.
        self.average = 0.0
        self.child: Child | None = None
        self.closed = False
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self.channel = Channel()
        self._output = WorkerOutput(lambda: self.tasks[0].log if self.tasks else None, self._break)
        self._worn = False
        # The answer with which the worker ends, until it is gone.
        self._last: WorkerOutcome | None = None
        # What the runner did not foresee while it followed the worker, which ends for it.
        self._fault: Exception | None = None
        self._ended_at = 0.0
        # The last ended steps, by number.
        self._ended_steps: deque[tuple[int, step_pb2.StepKey]] = deque(maxlen=_REMEMBERED_STEPS)
        self._next_id = 0
        # Steps in preparation that have been promised the place behind the running one.
        self._expected = 0
        # The claim of the last step, for the first of them.
        self._kept: Claim | None = None

    async def start(self, deadline_seconds: float) -> None:
        """Start the process. Steps may be submitted before: they wait in the socket."""
        self.channel.peer.setblocking(True)
        spec = self.spec
        code = os.pathsep.join(spec.sys_path)
        env = {**os.environ, **spec.env, "PYTHONUNBUFFERED": "1", "KAON_CODE_PATH": code}
        order = supervision.Order(
            argv=(
                spec.python,
                "-m",
                "kaon.step.worker",
                *map(str, self.channel.given),
                self._output.token,
                *spec.preload,
            ),
            env=env,
            cwd=self._owner.directory,
            grace_seconds=spec.grace_seconds,
            deadline_seconds=deadline_seconds,
            bounds=self.bounds,
            about={"worker": spec.key},
            keep=self.channel.given,
        )
        self.child = await supervision.start(order)
        self._output.attach(self.child)
        self.channel.own.setblocking(False)
        self._loop.add_reader(self.channel.own, self.read)
        self.child.ended.add_done_callback(lambda future: self._ended(future.result()))

    @property
    def kind(self) -> tuple[str, str, Bounds]:
        """Return the worker's kind: workers of one kind start in the same way."""
        return self.spec.key, self.spec.python, self.bounds

    def fits(self, spec: WorkerSpec) -> bool:
        """Tell whether it is of the kind that a step asks for."""
        # Step types mostly give the same object again, which is quicker seen than that two are equal.
        return self.spec is spec or self.spec == spec

    @property
    def idle_seconds(self) -> float:
        """Return the seconds since its last step ended; 0 before its first."""
        return time.monotonic() - self._ended_at if self.steps else 0.0

    @property
    def busy_seconds(self) -> float:
        """Return how long the step at the front has been running, in seconds."""
        return time.monotonic() - self.tasks[0].started_at if self.tasks else 0.0

    @property
    def worn(self) -> bool:
        """Tell whether it has run its number of steps, or exceeds its memory: it receives no more steps."""
        return self._worn or self.steps + len(self.tasks) >= self._owner.worker_steps

    def weigh(self, limit: int) -> None:
        """Measure its memory between two steps."""
        if self.child is not None and not self._worn and resident_bytes(self.child.pid) > limit:
            self._worn = True

    def expect(self) -> None:
        """Promise the place behind the running step."""
        self._expected += 1

    def arrive(self) -> Claim | None:
        """Redeem or give up a promise.

        Return the claim that waits for it, if the step before has ended.
        """
        self._expected -= 1
        claim, self._kept = self._kept, None
        return claim

    def submit(self, task: WorkerTask) -> None:
        """Send a step; it starts when those before it have ended.

        Raises:
            Requeued: The socket is full of waiting steps, or the process is gone.
        """
        if self.channel.closed:
            raise Requeued
        self._next_id += 1
        task.id = self._next_id
        task.worker = self
        try:
            self.channel.submit(task.id, target=task.target, whole=task.whole, context=task.context)
        except BlockingIOError:
            task.worker = None
            raise Requeued from None
        self.tasks.append(task)
        if len(self.tasks) == 1:
            self._front_started()

    def take_back(self) -> list[WorkerTask]:
        """Return all submitted steps that have not been started; none of a worker whose process is gone."""
        if self.channel.closed:
            return []
        taken = self.channel.take_back()
        # Not simply the last ones: the worker also receives, and may have taken one from among them.
        back = [task for task in self.tasks if task.id in taken]
        self.tasks = deque(task for task in self.tasks if task.id not in taken)
        return back

    def settle_idle(self) -> None:
        """Notify the pool when the worker has nothing to do and no promise is open."""
        if not self.tasks and not self._expected:
            self._owner.became_idle(self)

    def signal(self, task: WorkerTask, signal: runner_pb2.SignalStep) -> None:
        """Deliver a signal to a submitted step, which reads it when it wants to."""
        if not self.closed:
            self.channel.signal(task.id, signal)

    def look(self) -> None:
        """Read the output of a long step live. Called regularly while a step runs."""
        self.channel.send_signals()
        if self.tasks and not self._output.watched and self.busy_seconds > SLOW_SECONDS:
            self._output.watch()

    def discard(self) -> None:
        """Release the resources of a process that could not be started."""
        self.closed = True
        self.channel.close()

    def close(self) -> None:
        """End the process and all of its descendants."""
        if self.child is not None and not self.closed:
            self.closed = True
            self.child.stop()

    async def gone(self) -> None:
        """Return when no process of it is left."""
        if self.child is not None:
            await asyncio.shield(self.child.ended)

    def read(self) -> None:
        """Read the worker's messages."""
        if self._fault is not None:
            return
        try:
            for message in self.channel.messages(self._unreadable):
                self._heard(message)
        except Exception as fault:
            self._break(fault)

    def _break(self, fault: Exception) -> None:
        """End the worker, and have the step fail in which the runner met a fault: nobody would hear of its end."""
        about = fields_of(self.tasks[0].log.key) if self.tasks else {"worker": self.spec.key}
        log.error("worker ended: its step cannot be followed", exc_info=fault, **about)
        self._fault = fault
        self._loop.remove_reader(self.channel.own)
        self.close()

    def _unreadable(self, error: Exception) -> None:
        about = fields_of(self.tasks[0].log.key) if self.tasks else {"worker": self.spec.key}
        log.warning("unreadable message from worker ignored", reason=str(error), **about)

    def _about(self, number: object) -> dict[str, Any]:
        """Return the fields that identify a step of this worker in logs, by its number."""
        for ended, key in self._ended_steps:
            if ended == number:
                return fields_of(key)
        return {"worker": self.spec.key, "number": number}

    def _front_started(self) -> None:
        task = self.tasks[0]
        task.started_at = time.monotonic()
        if not task.started:
            task.started = True
            task.on_started()

    def _heard(self, message: dict[str, Any]) -> None:
        if not self.tasks or message["id"] != self.tasks[0].id:
            log.warning(
                "late message from worker for finished step ignored", **self._about(message["id"])
            )
            return
        task = self.tasks[0]
        if self._last is not None:
            return  # a thread of a step that has answered
        if message["kind"] not in ("succeeded", "error"):
            task.on_event(message)
        elif message.get("ends"):
            self._retire(task, message)
        else:
            self._finish(task, WorkerOutcome(answer=message))

    def _retire(self, task: WorkerTask, answer: Mapping[str, Any]) -> None:
        """Retire the worker: the step changed the process irreversibly, and its result counts when no process is left."""
        self._last = WorkerOutcome(answer=answer)
        self.closed = True
        task.log.remark(
            f"the step left {', '.join(map(str, answer['ends']))}: its process was ended with it"
        )

    def _finish(self, task: WorkerTask, outcome: WorkerOutcome) -> None:
        self._output.unwatch()
        self._output.drain(task.id, task.log)
        self.tasks.popleft()
        self._ended_steps.append((task.id, task.log.key))
        self.steps += 1
        self._owner.worked(self)
        self._ended_at = time.monotonic()
        took = self._ended_at - task.started_at
        if took > _WEIGHED_SECONDS or self.steps % _WEIGHED_STEPS == 0:
            self.weigh(self._owner.worker_memory_bytes)
        self.average = took if self.steps == 1 else 0.8 * self.average + 0.2 * took
        if self.tasks:
            following = self.tasks[0]
            if following.claim is None:
                following.claim, task.claim = task.claim, None
            self._front_started()
        elif self._expected:
            self._kept, task.claim = task.claim, None
        task.settle(outcome)
        self.settle_idle()

    def _ended(self, ending: Ending) -> None:
        """Handle the end of the process."""
        self.closed = True
        self.read()
        waiting = self.take_back()
        self._output.unwatch()
        self._loop.remove_reader(self.channel.own)
        if waiting and not self.steps and self._owner.stillborn(self, ending):
            # It failed to begin: the next worker would fail, too.
            self.tasks.extendleft(reversed(waiting))
            waiting, ending = [], replace(ending, before_start=True)
        running = list(self.tasks)
        for task in running:
            self._drain(task)
        self.tasks.clear()
        self.channel.close()
        self._output.close()
        self._owner.forget(self)
        for task in running:
            if self._fault is not None:
                task.fail(self._fault)
            task.settle(self._last or WorkerOutcome(ending=ending))
        # The last first: each goes to the front of the queue.
        for task in reversed(waiting):
            task.requeue()

    def _drain(self, task: WorkerTask) -> None:
        try:
            self._output.drain(task.id, task.log)
        except Exception as fault:
            if self._fault is None:
                self._break(fault)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
