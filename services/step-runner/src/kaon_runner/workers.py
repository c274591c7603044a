"""Warm Python workers: long-lived processes that run one step after the other.

Requests wait in the packet socket itself, of which the runner keeps both ends: a packet is received exactly once, so whatever the
runner can still receive from the worker's end has not been started, and can go elsewhere. The worker needs no thread for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kaon.step import packets
from kaon.step.packets import PACKET_BYTES
from kaon_runner.commands import as_message
from kaon_runner.logs import STDERR, STDOUT, StepLog
from kaon_runner.slots import Amount, Claim
from kaon_runner.steptypes.base import WorkerSpec
from kaon_runner.supervision import child as supervision
from kaon_runner.supervision.child import Bounds, Child, Ending
from kaon_wire.errors import KaonError
from kaonapi.log.v1 import log_pb2
from kaonapi.runner.v1 import runner_pb2

_log = logging.getLogger(__name__)
_quote = json.JSONEncoder().encode

_READ_BYTES = 64 * 1024
_PIPE_ROUNDS = 64
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# A worker is weighed after so many steps, and after each that took so long: shorter ones cannot have taken much.
_WEIGHED_STEPS = 16
_WEIGHED_SECONDS = 0.01
# A step that runs longer gets its output read as it comes, and what waits behind it goes elsewhere.
SLOW_SECONDS = 0.05
# Workers that may end before their first step, one after the other, until the step fails that they were started for.
_STARTS = 3
# Steps are put behind a running one only where they have been this short.
_SHORT_SECONDS = 0.02


class Requeued(Exception):
    """The step was not started and waits for another worker."""


@dataclass(frozen=True, kw_only=True)
class WorkerOutcome:
    """How a step in a worker ended: with an answer of its own, or with the worker."""

    # "succeeded" with "outputs", or "error" with "type", "message", "traceback".
    answer: Mapping[str, Any] | None = None
    # How the worker ended when it gave no answer.
    ending: Ending | None = None


@dataclass(kw_only=True, eq=False)
class WorkerTask:
    """One step for a worker."""

    target: str
    whole: bool
    # The content of context.json, as JSON text.
    context: str
    log: StepLog
    # Tells which steps may follow each other on one claim.
    lane: tuple[str, ...]
    wanted: Amount
    # What its process may use.
    bounds: Bounds
    # What it occupies; None while it waits behind another step, whose claim it inherits.
    claim: Claim | None
    on_started: Callable[[], None]
    on_event: Callable[[Mapping[str, Any]], None]
    outcome: asyncio.Future[WorkerOutcome]
    id: int = 0
    started_at: float = 0.0
    worker: WarmWorker | None = None
    started: bool = False

    def settle(self, outcome: WorkerOutcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def requeue(self) -> None:
        self.worker = None
        if not self.outcome.done():
            self.outcome.set_exception(Requeued())


class WarmWorker:
    """One worker process and what is on its way to it."""

    def __init__(self, spec: WorkerSpec, bounds: Bounds, pool: WorkerPool) -> None:
        self.spec = spec
        self.bounds = bounds
        self.tasks: deque[WorkerTask] = deque()
        self.steps = 0
        # Moving average of how long its steps took, seconds.
        self.average = 0.0
        self.child: Child | None = None
        self.closed = False
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._token = "\x1e" + secrets.token_hex(8)
        self._channel, self._peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._channel, self._peer):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * PACKET_BYTES)
        self._signals, self._signals_peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._signals.setblocking(False)
        # What its socket had no room for.
        self._unsent: deque[bytes] = deque()
        self._worn = False
        # The answer with which the worker ends, until it is gone.
        self._last: WorkerOutcome | None = None
        self._ended_at = 0.0
        self._next_id = 0
        # Steps that have been promised the place behind the running one and are still being prepared.
        self._expected = 0
        # The claim of the last step, for the first of them.
        self._kept: Claim | None = None
        self._partial: dict[log_pb2.Stream.ValueType, bytes] = {STDOUT: b"", STDERR: b""}
        self._reading = False

    async def start(self, deadline_seconds: float) -> None:
        """Starts the process. Steps may be submitted before: they wait in the socket."""
        self._peer.setblocking(True)
        spec = self.spec
        code = os.pathsep.join(spec.sys_path)
        env = {**os.environ, **spec.env, "PYTHONUNBUFFERED": "1", "KAON_CODE_PATH": code}
        order = supervision.Order(
            argv=(
                spec.python,
                "-m",
                "kaon.step.worker",
                str(self._peer.fileno()),
                str(self._signals_peer.fileno()),
                self._token,
                *spec.preload,
            ),
            env=env,
            cwd=self._pool.directory,
            deadline_seconds=deadline_seconds,
            bounds=self.bounds,
            keep=(self._peer.fileno(), self._signals_peer.fileno()),
        )
        self.child = await supervision.start(order)
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel, self._readable)
        self.child.ended.add_done_callback(lambda future: self._ended(future.result()))

    @property
    def kind(self) -> tuple[str, str, Bounds]:
        """Workers of one kind start in the same way."""
        return self.spec.key, self.spec.python, self.bounds

    @property
    def idle_seconds(self) -> float:
        """How long ago its last step ended; 0 before its first."""
        return time.monotonic() - self._ended_at if self.steps else 0.0

    @property
    def busy_seconds(self) -> float:
        """How long the step at the front has been running."""
        return time.monotonic() - self.tasks[0].started_at if self.tasks else 0.0

    @property
    def worn(self) -> bool:
        """Whether it has run as many steps as it should, or keeps more memory than it should: it gets no more."""
        return self._worn or self.steps + len(self.tasks) >= self._pool.worker_steps

    def weigh(self, limit: int) -> None:
        """Looks how much memory it keeps between two steps."""
        if self.child is not None and not self._worn and resident_bytes(self.child.pid) > limit:
            self._worn = True

    def expect(self) -> None:
        """Somebody will come who was promised the place behind the running step."""
        self._expected += 1

    def arrive(self) -> Claim | None:
        """The promised one is here, or gives up. Returns the claim that waits for it, if the step before has ended."""
        self._expected -= 1
        claim, self._kept = self._kept, None
        return claim

    def submit(self, task: WorkerTask) -> None:
        """Sends a step; it starts when those before it have ended.

        Raises:
            Requeued: the socket is full of steps that wait.
        """
        self._next_id += 1
        task.id = self._next_id
        task.worker = self
        whole = "true" if task.whole else "false"
        packet = (
            f'{{"id":{task.id},"target":{_quote(task.target)},"whole":{whole},"context":{task.context}}}'
        ).encode()
        try:
            packets.send(self._channel, packet, task.id)
        except BlockingIOError:
            task.worker = None
            raise Requeued from None
        self.tasks.append(task)
        if len(self.tasks) == 1:
            self._front_started()

    def take_back(self) -> list[WorkerTask]:
        """Everything that was submitted and has not been started."""
        taken: set[int] = set()
        while True:
            try:
                packet = self._peer.recv(2 * PACKET_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not packet:
                break
            taken.add(_id_of(packet))
        # Not simply the last ones: the worker receives too, and may have got one from among them.
        back = [task for task in self.tasks if task.id in taken]
        self.tasks = deque(task for task in self.tasks if task.id not in taken)
        return back

    def settle_idle(self) -> None:
        """Tells the pool when there is nothing to do here and nobody is expected."""
        if not self.tasks and not self._expected:
            self._pool.became_idle(self)

    def signal(self, task: WorkerTask, signal: runner_pb2.SignalStep) -> None:
        """Hands a message on to a step that was submitted here; it reads it when it wants to."""
        if self.closed:
            return
        self._unsent.append(json.dumps({"id": task.id, **as_message(signal)}).encode())
        self._send_signals()

    def _send_signals(self) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                packets.send(self._signals, self._unsent[0])
                self._unsent.popleft()

    def look(self) -> None:
        """Called regularly while a step runs: a long one gets its output read as it comes."""
        self._send_signals()
        if self.tasks and not self._reading and self.busy_seconds > SLOW_SECONDS:
            self._watch_output(True)

    def discard(self) -> None:
        """Lets go of what was made for a process that could not be started."""
        self.closed = True
        self._close_sockets()

    def _close_sockets(self) -> None:
        for end in (self._channel, self._peer, self._signals, self._signals_peer):
            end.close()

    def close(self) -> None:
        """Ends the process and all that it started."""
        if self.child is not None and not self.closed:
            self.closed = True
            self.child.stop()

    async def gone(self) -> None:
        """Returns when no process of it is left."""
        if self.child is not None:
            await asyncio.shield(self.child.ended)

    def _front_started(self) -> None:
        task = self.tasks[0]
        task.started_at = time.monotonic()
        if not task.started:
            task.started = True
            task.on_started()

    def _readable(self) -> None:
        while True:
            try:
                packet = packets.receive(self._channel)
                if not packet:
                    return
                message = json.loads(packet)
            except (BlockingIOError, ConnectionResetError):
                return
            except (ValueError, RecursionError) as error:
                _log.warning("a worker said something that cannot be read: %s", error)
                continue
            self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        if not self.tasks or message["id"] != self.tasks[0].id:
            _log.warning("a worker spoke for step %s after its end", message["id"])
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
        """The step has left in the process what cannot be put back: its result counts when nothing of the process is left."""
        self._last = WorkerOutcome(answer=answer)
        self.closed = True
        task.log.remark(f"the step left {', '.join(map(str, answer['ends']))}: its process was ended with it")

    def _finish(self, task: WorkerTask, outcome: WorkerOutcome) -> None:
        if self._reading:
            self._watch_output(False)
        self._drain(task)
        self.tasks.popleft()
        self.steps += 1
        self._pool.worked(self)
        self._ended_at = time.monotonic()
        took = self._ended_at - task.started_at
        if took > _WEIGHED_SECONDS or self.steps % _WEIGHED_STEPS == 0:
            self.weigh(self._pool.worker_memory_bytes)
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

    def _drain(self, task: WorkerTask) -> None:
        """Reads what the step had printed when it ended: up to its mark."""
        assert self.child is not None
        mark = f"\n{self._token} {task.id}\n".encode()
        for stream, fd in ((STDOUT, self.child.stdout), (STDERR, self.child.stderr)):
            data = self._partial[stream]
            for _ in range(_PIPE_ROUNDS):
                if mark in data:
                    break
                more = _read(fd)
                if not more:
                    break
                data += more
            printed, _, self._partial[stream] = data.partition(mark)
            if printed:
                task.log.feed(stream, printed)
        task.log.end_streams()

    def _watch_output(self, on: bool) -> None:
        assert self.child is not None
        self._reading = on
        for stream, fd in ((STDOUT, self.child.stdout), (STDERR, self.child.stderr)):
            if on:
                self._loop.add_reader(fd, self._printed, stream, fd)
            else:
                self._loop.remove_reader(fd)

    def _printed(self, stream: log_pb2.Stream.ValueType, fd: int) -> None:
        """Live output of a long step. What may be the beginning of a mark stays until it is known."""
        data = _read(fd)
        if not data:
            self._loop.remove_reader(fd)
            return
        data = self._partial[stream] + data
        cut = data.rfind(b"\n" + self._token.encode())
        if cut < 0:
            last = data.rfind(b"\n")
            cut = last if last >= 0 and len(data) - last <= len(self._token) + 1 else len(data)
        if self.tasks and cut:
            self.tasks[0].log.feed(stream, data[:cut])
        self._partial[stream] = data[cut:]

    def _ended(self, ending: Ending) -> None:
        """The process is gone."""
        self.closed = True
        assert self.child is not None
        self._readable()
        waiting = self.take_back()
        if self._reading:
            self._watch_output(False)
        self._loop.remove_reader(self._channel)
        if waiting and not self.steps and self._pool.stillborn(self, ending):
            # It could not even begin: with the next worker it would be the same.
            self.tasks.extendleft(reversed(waiting))
            waiting, ending = [], replace(ending, before_start=True)
        running = list(self.tasks)
        for task in running:
            self._drain(task)
        self.tasks.clear()
        self._close_sockets()
        for fd in (self.child.stdout, self.child.stderr):
            os.close(fd)
        self._pool.forget(self)
        for task in running:
            task.settle(self._last or WorkerOutcome(ending=ending))
        # The last first: each goes to the front of the queue.
        for task in reversed(waiting):
            task.requeue()


class WorkerPool:
    """All warm workers of one runner.

    Args:
        directory: working directory of the processes.
        worker_steps: steps after which a worker is replaced.
        worker_memory_bytes: memory after which a worker is replaced, seen between two steps.
        prefetch: steps that may wait behind a running one in its worker.
        idle_limit: idle workers that are kept.
        idle_seconds: how long an idle worker is kept; one that has not run anything yet is.
        deadline_seconds: see `supervision.Order`.
    """

    def __init__(
        self,
        *,
        directory: Any,
        worker_steps: int,
        worker_memory_bytes: int,
        prefetch: int,
        idle_limit: int,
        idle_seconds: float,
        deadline_seconds: float,
    ) -> None:
        self.directory = directory
        self.worker_steps = worker_steps
        self.worker_memory_bytes = worker_memory_bytes
        self._prefetch = prefetch
        self._idle_limit = idle_limit
        self._idle_seconds = idle_seconds
        self._deadline_seconds = deadline_seconds
        self._workers: list[WarmWorker] = []
        self._idle: list[WarmWorker] = []
        # By kind: workers that ended before their first step, one after the other.
        self._stillborn: dict[tuple[str, str, Bounds], int] = {}

    @property
    def workers(self) -> tuple[WarmWorker, ...]:
        """All, busy and idle."""
        return tuple(self._workers)

    def warm_keys(self) -> list[str]:
        """The keys of the specs for which a worker waits."""
        return sorted({worker.spec.key for worker in self._idle})

    def room_behind(self, lane: tuple[str, ...], wanted: Amount) -> WarmWorker | None:
        """A worker that runs short steps of this lane and may be given one more to wait for it; the one with the fewest."""
        best: WarmWorker | None = None
        for worker in self._workers:
            tasks = worker.tasks
            fits = (
                tasks
                and len(tasks) <= self._prefetch
                and not worker.closed
                and worker.steps > 0
                and worker.average < _SHORT_SECONDS
                and tasks[0].lane == lane
                and tasks[0].wanted == wanted
                and not worker.worn
            )
            if fits and (best is None or len(tasks) < len(best.tasks)):
                best = worker
        return best if best is None or best.busy_seconds < SLOW_SECONDS else None

    async def submit(self, spec: WorkerSpec, task: WorkerTask) -> None:
        """Gives a step that has a claim to an idle worker, or to a new one.

        Raises:
            UserStepError, PlatformStepError: no worker can be started.
        """
        worker = self._take_idle(spec, task.bounds) or await self._start(spec, task.bounds)
        worker.submit(task)

    async def warm(self, spec: WorkerSpec, bounds: Bounds) -> None:
        """Starts a worker that waits for its first step.

        Raises:
            UserStepError, PlatformStepError: it cannot be started.
        """
        self.became_idle(await self._start(spec, bounds))

    async def _start(self, spec: WorkerSpec, bounds: Bounds) -> WarmWorker:
        worker = WarmWorker(spec, bounds, self)
        self._workers.append(worker)
        try:
            await worker.start(self._deadline_seconds)
        except KaonError:
            self._workers.remove(worker)
            worker.discard()
            raise
        return worker

    def became_idle(self, worker: WarmWorker) -> None:
        """A worker has run its last step."""
        if worker.closed or worker in self._idle:
            return
        if worker.worn:
            worker.close()
            return
        self._idle.append(worker)
        if len(self._idle) > self._idle_limit:
            self._idle.pop(0).close()

    def worked(self, worker: WarmWorker) -> None:
        """A worker has executed a step: its kind can be started."""
        if self._stillborn:
            self._stillborn.pop(worker.kind, None)

    def stillborn(self, worker: WarmWorker, ending: Ending) -> bool:
        """A worker has ended by itself before its first step. True when too many of its kind have, one after the other."""
        if ending.reason != "exited":
            return False
        deaths = self._stillborn.pop(worker.kind, 0) + 1
        if deaths < _STARTS:
            self._stillborn[worker.kind] = deaths
        return deaths >= _STARTS

    def forget(self, worker: WarmWorker) -> None:
        """A worker's process is gone."""
        self._workers.remove(worker)
        if worker in self._idle:
            self._idle.remove(worker)

    def look(self) -> None:
        """Called regularly: reads the output of long steps, and takes back what waits behind them."""
        for worker in self._workers:
            worker.look()
            if len(worker.tasks) > 1 and worker.busy_seconds > SLOW_SECONDS:
                for task in reversed(worker.take_back()):
                    task.requeue()
                worker.settle_idle()

    def renew_idle(self, seconds: float) -> None:
        """Idle workers live as long as the runner does, but those that nothing has come for in a long time."""
        for worker in tuple(self._idle):
            if worker.idle_seconds > self._idle_seconds:
                self._idle.remove(worker)
                worker.close()
            elif worker.child is not None:
                worker.child.renew(seconds)

    async def close(self) -> None:
        """Ends all workers and returns when they are gone."""
        children = [worker.child for worker in self._workers if worker.child is not None]
        for worker in tuple(self._workers):
            worker.close()
        for child in children:
            await asyncio.shield(child.ended)

    def _take_idle(self, spec: WorkerSpec, bounds: Bounds) -> WarmWorker | None:
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index].spec == spec and self._idle[index].bounds == bounds:
                return self._idle.pop(index)
        return None


def resident_bytes(pid: int) -> int:
    """What a process keeps in memory; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _READ_BYTES)
    except BlockingIOError:
        return b""


def _id_of(packet: bytes) -> int:
    """Requests begin with their id, so that it is found without reading the rest."""
    return int(packet[len(b'{"id":') : packet.index(b",")])
