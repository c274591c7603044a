"""What one step prints: cut into lines for the log topic, and kept whole, up to a bound, for the log artifact.

A step that prints faster than logs may leave loses lines on the topic, which are counted; it is not slowed down, and it costs
neither memory nor much time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2

STDOUT = log_pb2.STREAM_STDOUT
STDERR = log_pb2.STREAM_STDERR
SYSTEM = log_pb2.STREAM_SYSTEM

_LINE_BYTES = 64 * 1024
_RECORD_BYTES = 64 * 1024
# What may leave of one step: a burst, then a rate.
_BURST_BYTES = 2 * 1024 * 1024
_BYTES_PER_SECOND = 1024 * 1024
_TAIL_BYTES = 4000


class LogStore:
    """The complete log: in memory while it is small, then in a file.

    Args:
        directory: where the file goes.
        name: of the file.
        limit: bytes that are kept.
    """

    MEMORY_BYTES = 64 * 1024

    def __init__(self, directory: Path, name: str, limit: int) -> None:
        self._directory = directory
        self._name = name
        self.limit = limit
        self.size = 0
        self.cut = False
        self._parts: list[bytes] = []
        self._written = False

    @property
    def path(self) -> Path:
        """The file."""
        return self._directory / self._name

    def add(self, data: bytes) -> bool:
        """Keeps `data` as far as there is room. True when this is where the log is cut."""
        room = self.limit - self.size
        was_cut = self.cut
        if len(data) > room:
            data = data[:room]
            self.cut = True
        if data:
            self._parts.append(data)
            self.size += len(data)
            if self.size > self.MEMORY_BYTES:
                self._spill()
        return self.cut and not was_cut

    def finish(self) -> Path | None:
        """The file with everything; None when nothing was printed."""
        if self.size == 0:
            return None
        self._spill()
        return self.path

    def remove(self) -> None:
        """Deletes the file."""
        if self._written:
            self.path.unlink(missing_ok=True)

    def _spill(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.writelines(self._parts)
        self._parts.clear()
        self._written = True


class StepLog:
    """The log of one lease.

    Args:
        key: the lease.
        store: keeps it whole.
        send: hands lines over; False when they cannot leave now and are lost.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        key: step_pb2.StepKey,
        store: LogStore,
        send: Callable[[log_pb2.LogLines], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = key
        self.store = store
        self._send = send
        self._clock = clock
        self._sequence = 0
        self._dropped = 0
        self._lines: list[log_pb2.LogLine] = []
        self._bytes = 0
        self._partial: dict[log_pb2.Stream.ValueType, bytes] = {}
        self._partial_since = 0.0
        # Streams whose last line was told before its end had come: that end is no line of its own.
        self._told_early: set[log_pb2.Stream.ValueType] = set()
        self._tail = b""
        self._tokens = float(_BURST_BYTES)
        self._refilled = clock()
        self._waiting_since = 0.0

    @property
    def waiting(self) -> bool:
        """Whether `tick` has something to do."""
        return bool(self._lines or self._partial or self._dropped)

    def feed(self, stream: log_pb2.Stream.ValueType, data: bytes) -> None:
        """Takes what the step printed."""
        if stream == STDERR:
            self._tail = (self._tail + data)[-_TAIL_BYTES:]
        if self.store.add(data):
            self.remark(f"the log is longer than {self.store.limit} bytes: the rest is not kept")
        if stream in self._told_early:
            self._told_early.discard(stream)
            data = data.removeprefix(b"\n")
        text = self._partial.pop(stream, b"") + data
        if not self._allow(len(data)):
            self._drop(stream, text)
            return
        *lines, rest = text.split(b"\n")
        for line in lines:
            self._line(stream, line)
        while len(rest) > _LINE_BYTES:
            self._line(stream, rest[:_LINE_BYTES])
            rest = rest[_LINE_BYTES:]
        if rest:
            self._keep_partial(stream, rest)

    def remark(self, text: str) -> None:
        """Something that the runner says about the step."""
        self._line(SYSTEM, text.encode(errors="backslashreplace"))

    def end_streams(self) -> None:
        """The step's output has ended: what came without a line end is a line."""
        for stream, data in sorted(self._partial.items()):
            self._line(stream, data)
        self._partial.clear()

    def tick(self) -> None:
        """Sends what has waited long enough; called about every 100 ms."""
        now = self._clock()
        if self._partial and now - self._partial_since >= 0.2:
            self._told_early.update(self._partial)
            self.end_streams()
        if self._lines or (self._dropped and now - self._waiting_since >= 1.0):
            self.flush()

    def flush(self) -> None:
        """Sends all complete lines now."""
        if not self._lines and not self._dropped:
            return
        message = log_pb2.LogLines(key=self._key, lines=self._lines, dropped=self._dropped)
        lost = self._dropped
        self._dropped = 0
        if not self._send(message):
            self._dropped = lost + len(self._lines)
        self._lines = []
        self._bytes = 0
        self._waiting_since = self._clock()

    def tail(self) -> str:
        """The end of what was printed to stderr."""
        return self._tail.decode("utf-8", "replace").lstrip("\n")

    def _line(self, stream: log_pb2.Stream.ValueType, data: bytes) -> None:
        for start in range(0, len(data) or 1, _LINE_BYTES):
            self._sequence += 1
            text = data[start : start + _LINE_BYTES].decode("utf-8", "replace").rstrip("\r")
            self._lines.append(
                log_pb2.LogLine(
                    sequence=self._sequence, time_us=time.time_ns() // 1000, stream=stream, text=text
                )
            )
            self._bytes += len(data)
        if self._bytes >= _RECORD_BYTES:
            self.flush()

    def _keep_partial(self, stream: log_pb2.Stream.ValueType, data: bytes) -> None:
        if not self._partial:
            self._partial_since = self._clock()
        self._partial[stream] = data

    def _allow(self, size: int) -> bool:
        now = self._clock()
        self._tokens = min(float(_BURST_BYTES), self._tokens + (now - self._refilled) * _BYTES_PER_SECOND)
        self._refilled = now
        if self._tokens < size:
            return False
        self._tokens -= size
        return True

    def _drop(self, stream: log_pb2.Stream.ValueType, text: bytes) -> None:
        """Loses all lines that end in `text`. Their numbers are used up, so that readers see the gap."""
        lines = text.count(b"\n")
        self._sequence += lines
        self._dropped += lines
        rest = text[text.rfind(b"\n") + 1 :]
        if len(rest) > _LINE_BYTES:
            self._sequence += 1
            self._dropped += 1
        elif rest:
            self._keep_partial(stream, rest)
