"""A step as a process of its own, by the step protocol: directory, pipes, output, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import structlog

from kaon_artifacts import opening
from kaon_runner.disk.step_directory import StepDirectory
from kaon_runner.leases.table import fields_of
from kaon_runner.logs.step_log import STDERR, STDOUT, StepLog
from kaon_runner.outbox.reports import MALFORMED
from kaon_runner.steptypes.base import CommandLaunch
from kaon_runner.supervision import child as supervision
from kaon_runner.supervision.child import Bounds, Child, Ending
from kaon_runner.workers.protocol import as_message
from kaonapi.log.v1 import log_pb2
from kaonapi.runner.v1 import runner_pb2

log = structlog.get_logger(__name__)

_READ_BYTES = 64 * 1024
_COMMAND_LINE_BYTES = 4096
_EVENT_LINE_BYTES = 1024 * 1024
_CHECKPOINT_FILE_BYTES = 1024 * 1024


class CommandRun:
    """One process of a step.

    Args:
        launch: The command.
        directory: The created directory, with context.json.
        log: Receives its output.
        on_event: Receives the events of its pipe, including "error" events.
    """

    def __init__(
        self,
        launch: CommandLaunch,
        directory: StepDirectory,
        log: StepLog,
        on_event: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._launch = launch
        self._directory = directory
        self._log = log
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._child: Child | None = None
        self._stop_requested = False
        self._partial = b""
        # A checkpoint was written to a file and must be read.
        self._checkpoint_due = False
        self._reading: asyncio.Task[None] | None = None
        # The pipe to the running step, and lines that did not fit into it.
        self._commands = -1
        self._unsent: deque[bytes] = deque()
        # What the runner did not foresee while it followed the step, which ends for it.
        self._fault: Exception | None = None

    async def run(self, *, deadline_seconds: float, bounds: Bounds) -> Ending:
        """Run the process to its end, when no descendant of it is left.

        Raises:
            PlatformStepError: The process cannot be started.
            Exception: The runner cannot follow the step, which has been ended.
        """
        order = supervision.Order(
            argv=self._launch.argv,
            env={**os.environ, **self._launch.env, "KAON_STEP_DIR": str(self._directory.root)},
            cwd=self._launch.cwd or self._directory.work,
            cleanup=self._launch.cleanup,
            grace_seconds=self._launch.grace_seconds,
            deadline_seconds=deadline_seconds,
            bounds=bounds,
            about=fields_of(self._log.key),
        )
        # For reading and writing, so that the step never waits for the runner to open them, and never sees
        # them closed.
        events = os.open(self._directory.events, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._commands = os.open(self._directory.commands, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.look()
        try:
            child = self._child = await supervision.start(order)
            if self._stop_requested:
                child.stop()
            self._watch(child, events)
            try:
                ending = await asyncio.shield(child.ended)
            finally:
                self._unwatch(child, events)
            if self._fault is not None:
                raise self._fault
            return ending
        finally:
            if self._reading is not None:
                await self._reading
            os.close(events)
            os.close(self._commands)
            self._commands = -1

    def stop(self) -> None:
        """Request the step's end, then force it; `run` returns when nothing is left."""
        self._stop_requested = True
        self._say({"kind": "cancel"})
        if self._child is not None:
            self._child.stop()

    def signal(self, signal: runner_pb2.SignalStep) -> None:
        """Deliver a signal to the step, which reads it when it wants to."""
        message = {"kind": "signal", **as_message(signal)}
        if len(json.dumps(message)) >= _COMMAND_LINE_BYTES:
            # Under a random name: the step may have put a pipe in the way of any predictable one.
            name = f"signal-{signal.signal_seq}-{secrets.token_hex(8)}.json"
            with (self._directory.root / name).open("x", encoding="utf-8") as file:
                file.write(signal.payload_json or "null")
            message = {
                "kind": "signal",
                "seq": message["seq"],
                "name": message["name"],
                "file": name,
            }
        self._say(message)

    def renew(self, seconds: float) -> None:
        """Prolong the deadline; see `Child.renew`."""
        if self._child is not None:
            self._child.renew(seconds)

    def look(self) -> None:
        """Send lines that did not fit into the pipe. Called regularly."""
        with contextlib.suppress(BlockingIOError):
            while self._unsent and self._commands >= 0:
                os.write(self._commands, self._unsent[0])
                self._unsent.popleft()

    def _say(self, message: Mapping[str, Any]) -> None:
        """Send one line of at most 4096 bytes: a pipe takes it whole or not at all."""
        self._unsent.append(json.dumps(message).encode() + b"\n")
        self.look()

    def _watch(self, child: Child, events: int) -> None:
        for fd, stream in ((child.stdout, STDOUT), (child.stderr, STDERR)):
            self._loop.add_reader(fd, self._follow, fd, partial(self._printed, fd, stream))
        self._loop.add_reader(events, self._follow, events, partial(self._said, events))

    def _follow(self, fd: int, read: Callable[[], object]) -> None:
        """Read from a descriptor; end the step where that fails by a fault: nobody would hear of it."""
        try:
            read()
        except Exception as fault:
            log.error(
                "step ended: it cannot be followed", exc_info=fault, **fields_of(self._log.key)
            )
            self._fault = self._fault or fault
            self._loop.remove_reader(fd)
            self.stop()

    def _unwatch(self, child: Child, events: int) -> None:
        """Read the rest, then stop watching."""
        try:
            for fd, stream in ((child.stdout, STDOUT), (child.stderr, STDERR)):
                while self._fault is None and self._printed(fd, stream):
                    pass
            if self._fault is None:
                self._said(events)
        finally:
            for fd in (child.stdout, child.stderr):
                self._loop.remove_reader(fd)
                os.close(fd)
            self._loop.remove_reader(events)
        self._log.end_streams()

    def _printed(self, fd: int, stream: log_pb2.Stream.ValueType) -> bool:
        """Read once; return True when there may be more."""
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(fd)
            return False
        self._log.feed(stream, data)
        return True

    def _said(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(fd, _READ_BYTES):
                *lines, self._partial = (self._partial + data).split(b"\n")
                self._partial = self._partial[-_EVENT_LINE_BYTES:]
                for line in lines:
                    self._heard(line)

    def _heard(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            if message["kind"] == "checkpoint" and "file" in message:
                self._checkpoint_due = True
                if self._reading is None or self._reading.done():
                    self._reading = self._loop.create_task(
                        self._read_checkpoints(), name="read-checkpoint"
                    )
                return
            self._on_event(message)
        except MALFORMED as error:
            self._log.remark(
                f"a line on the events channel does not follow the step protocol ({error}): {line[:200]!r}"
            )

    async def _read_checkpoints(self) -> None:
        """Read the named checkpoint file off the loop; it is read once more however often the step names it meanwhile."""
        while self._checkpoint_due:
            self._checkpoint_due = False
            try:
                value = await self._loop.run_in_executor(None, _checkpoint_in, self._directory)
            except (*MALFORMED, OSError) as error:
                self._log.remark(f"a checkpoint cannot be read: {error}")
            else:
                self._on_event({"kind": "checkpoint", "value": value})


def _checkpoint_in(directory: StepDirectory) -> Any:
    with opening.directory(directory.root) as root:
        return json.loads(
            opening.read(
                directory.checkpoint.name, within=root, most=_CHECKPOINT_FILE_BYTES
            ).decode()
        )
