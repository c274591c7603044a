"""Output of steps in a worker: each step's lines up to the mark that the worker prints at the step's end."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable

from kaon_runner.logs.step_log import STDERR, STDOUT, StepLog
from kaon_runner.supervision.child import Child
from kaonapi.log.v1 import log_pb2

_READ_BYTES = 64 * 1024
_PIPE_ROUNDS = 64


class WorkerOutput:
    """Both output streams of one worker.

    Args:
        running: Returns the log of the running step; None when none is running.
        broken: Told what goes wrong while output is read live, which then ends.
    """

    def __init__(
        self, running: Callable[[], StepLog | None], broken: Callable[[Exception], None]
    ) -> None:
        # Prefix of the marks.
        self.token = "\x1e" + secrets.token_hex(8)
        # Whether output is read live.
        self.watched = False
        self._running = running
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._partial: dict[log_pb2.Stream.ValueType, bytes] = {STDOUT: b"", STDERR: b""}
        self._pipes: tuple[tuple[log_pb2.Stream.ValueType, int], ...] = ()

    def attach(self, child: Child) -> None:
        """Attach the streams of the started process."""
        self._pipes = ((STDOUT, child.stdout), (STDERR, child.stderr))

    def drain(self, number: int, log: StepLog) -> None:
        """Read the output of an ended step: up to its mark."""
        mark = f"\n{self.token} {number}\n".encode()
        for stream, fd in self._pipes:
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
                log.feed(stream, printed)
        log.end_streams()

    def watch(self) -> None:
        """Read output live, until `unwatch`."""
        self.watched = True
        for stream, fd in self._pipes:
            self._loop.add_reader(fd, self._read_live, stream, fd)

    def unwatch(self) -> None:
        """Leave output in its pipes until a step has ended."""
        if not self.watched:
            return
        self.watched = False
        for _, fd in self._pipes:
            self._loop.remove_reader(fd)

    def close(self) -> None:
        """Close the pipes."""
        for _, fd in self._pipes:
            os.close(fd)

    def _read_live(self, stream: log_pb2.Stream.ValueType, fd: int) -> None:
        try:
            self._printed(stream, fd)
        except Exception as fault:
            self.unwatch()
            self._broken(fault)

    def _printed(self, stream: log_pb2.Stream.ValueType, fd: int) -> None:
        """Handle live output of a long step. What may be the beginning of a mark stays until the rest of it is there.

        A worker writes a mark at once, so that only a full read can end within one. A line end that is not such a
        beginning must not wait: other streams would continue its line in the stored log.
        """
        data = _read(fd)
        if not data:
            self._loop.remove_reader(fd)
            return
        full = len(data) == _READ_BYTES
        data = self._partial[stream] + data
        cut = data.rfind(b"\n" + self.token.encode())
        if cut < 0 and not full:
            cut = len(data)
        elif cut < 0:
            last = data.rfind(b"\n")
            cut = last if last >= 0 and len(data) - last <= len(self.token) + 1 else len(data)
        log = self._running()
        if log is not None and cut:
            log.feed(stream, data[:cut])
        self._partial[stream] = data[cut:]


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _READ_BYTES)
    except BlockingIOError:
        return b""
