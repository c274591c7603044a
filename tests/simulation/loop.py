"""Simulated time and processes: asyncio code of many processes on one thread, in virtual time, in an order that a seed decides.

Every process has an event loop of its own, as real processes have; all loops share one clock and one scheduler. Which process runs
next is drawn at random; within a process callbacks keep asyncio's order. A process can be killed between any two of its callbacks,
and stopped and continued as by SIGSTOP and SIGCONT.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

EPOCH_US = 1_700_000_000_000_000


class Deadlock(AssertionError):
    """Nothing is left to happen."""


class Scheduler:
    """The clock, and whatever waits for its turn."""

    def __init__(self, chance: random.Random) -> None:
        self.now = 0.0
        # Callbacks that were run so far: a finer clock than time.
        self.steps = 0
        self.current: Process | None = None
        self._random = chance
        self._order = 0
        self._heap: list[tuple[float, int, Process | None, Any]] = []
        self._runnable: list[Process] = []

    def at(self, when: float, action: Callable[..., object], *arguments: Any) -> None:
        """Lets something happen in the world outside of all processes."""
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, None, (action, arguments)))

    def after(self, seconds: float, action: Callable[..., object], *arguments: Any) -> None:
        """Like `at`, so many seconds from now."""
        self.at(self.now + seconds, action, *arguments)

    def timer(self, when: float, process: Process, handle: asyncio.TimerHandle) -> None:
        """Lets a callback of a process become ready at a time."""
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, process, handle))

    def runnable(self, process: Process) -> None:
        """The process has something to do."""
        self._runnable.append(process)

    def run(self, until: float, done: Callable[[], bool]) -> bool:
        """Lets things happen until `done` (asked whenever time moves) or until a time; True when done."""
        runnable, heap, draw = self._runnable, self._heap, self._random.random
        try:
            while True:
                while runnable:
                    index = int(draw() * len(runnable)) if len(runnable) > 1 else 0
                    process = runnable[index]
                    if not process.run_one():
                        runnable[index] = runnable[-1]
                        runnable.pop()
                if done():
                    return True
                if not heap:
                    raise Deadlock("nothing is left to happen")
                when = heap[0][0]
                if when > until:
                    self.now = until
                    return False
                self.now = max(self.now, when)
                _, _, owner, what = heapq.heappop(heap)
                if owner is not None:
                    owner.put(what)
                else:
                    action, arguments = what
                    action(*arguments)
        finally:
            events._set_running_loop(None)
            self.current = None


class Process(asyncio.AbstractEventLoop):
    """One life of one process: its event loop and its clocks.

    Args:
        scheduler: runs it.
        name: for traces.
        skew: seconds that its wall clock is wrong by.
        rate: how fast its monotonic clock runs.
        failed: is told what nobody has caught.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        *,
        skew: float = 0.0,
        rate: float = 1.0,
        failed: Callable[[Process, BaseException], None],
    ) -> None:
        self.scheduler = scheduler
        self.name = name
        self.alive = True
        self.paused = False
        self.skew = skew
        self.rate = rate
        # Callbacks until it is killed; -1: it is not to be killed.
        self.fuse = -1
        self.on_death: list[Callable[[], None]] = []
        self._failed = failed
        self._ready: deque[asyncio.Handle] = deque()
        self._listed = False
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- its clocks ---------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return 1000.0 + self.scheduler.now * self.rate

    def now_us(self) -> int:
        """Microseconds since the epoch, as far as it knows."""
        return EPOCH_US + round((self.scheduler.now + self.skew) * 1e6)

    # --- its life -----------------------------------------------------------------------------------------------

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Starts work in it, from outside."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            return self.create_task(work)
        finally:
            events._set_running_loop(before)

    def run_one(self) -> bool:
        """Runs the next callback; False when there is none that may run."""
        ready = self._ready
        if self.paused or not ready:
            self._listed = False
            return False
        handle = ready.popleft()
        if not handle._cancelled:
            scheduler = self.scheduler
            if scheduler.current is not self:
                scheduler.current = self
                events._set_running_loop(self)
            scheduler.steps += 1
            handle._run()
            if self.fuse >= 0:
                if self.fuse == 0:
                    self.kill()
                else:
                    self.fuse -= 1
        return True

    def put(self, handle: asyncio.Handle) -> None:
        """A callback is ready."""
        if not self.alive:
            return
        self._ready.append(handle)
        if not self._listed and not self.paused:
            self._listed = True
            self.scheduler.runnable(self)

    def pause(self) -> None:
        """Stops it, as SIGSTOP does."""
        self.paused = True

    def resume(self) -> None:
        """Continues it."""
        self.paused = False
        if self.alive and self._ready and not self._listed:
            self._listed = True
            self.scheduler.runnable(self)

    def kill(self) -> None:
        """Ends it at once: nothing of it runs any more."""
        if not self.alive:
            return
        self.alive = False
        self._ready.clear()
        before = events._get_running_loop()
        events._set_running_loop(self)
        for task in sorted(self._tasks, key=lambda each: each.get_name()):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            _close(task.get_coro())
        self._tasks.clear()
        events._set_running_loop(before)
        for tell in self.on_death:
            tell()

    # --- what asyncio asks of a loop ----------------------------------------------------------------------------

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.put(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.scheduler.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if self.alive:
            self.scheduler.timer(when, self, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled ones are passed over when they come up."""

    def time(self) -> float:
        return self.scheduler.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Any,
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Any]:
        self._order = getattr(self, "_order", 0) + 1
        task = asyncio.Task(coro, loop=self, name=f"{self._order:06d}", context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self.alive

    def is_closed(self) -> bool:
        return not self.alive

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.alive and isinstance(error, BaseException):
            self._failed(self, error)


def _close(coroutine: Any) -> None:
    """Closes a coroutine that may wait for something even while it is closed."""
    for _ in range(20):
        try:
            coroutine.close()
        except RuntimeError:
            continue
        except Exception:
            pass
        return
