"""The output of one step: split into lines for the log topic, and kept whole, up to a bound, for the log artifact.

A step that prints faster than the topic's rate loses lines there, which are counted. It is not slowed down,
and the loss costs little memory and time. The newest lines are held for a moment and sent when the step is
quiet or over, because the end matters most.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kaon_runner.logs.store import LogStore
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2

STDOUT = log_pb2.STREAM_STDOUT
STDERR = log_pb2.STREAM_STDERR
SYSTEM = log_pb2.STREAM_SYSTEM

_LINE_BYTES = 64 * 1024
_RECORD_BYTES = 64 * 1024
# The rate of one step's lines: a burst, then a rate.
_BURST_BYTES = 2 * 1024 * 1024
_BYTES_PER_SECOND = 1024 * 1024
_TAIL_BYTES = 4000
# The bounds of held lines of a step that prints too fast.
_HELD_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class _Start:
    """What is known of the first line of a text beside the text."""

    # Bytes of it that are only in the complete log.
    passed: int = 0
    # Its beginning was sent as a line.
    continues: bool = False


_AT_LINE = _Start()


@dataclass(frozen=True, kw_only=True)
class _Held:
    """Complete lines that could not be sent when they came."""

    stream: log_pb2.Stream.ValueType
    # The number of the first one.
    first: int
    lines: int
    text: bytes
    start: _Start

    def newest(self, size: int) -> _Held:
        """Return the last lines, of at most `size` bytes."""
        if len(self.text) <= size:
            return self
        text = self.text[len(self.text) - size :]
        text = text[text.find(b"\n") + 1 :]
        lines = text.count(b"\n")
        return _Held(
            stream=self.stream,
            first=self.first + self.lines - lines,
            lines=lines,
            text=text,
            start=_AT_LINE,
        )


class StepLog:
    """The log of one lease.

    Args:
        key: The lease.
        store: Stores it whole.
        send: Sends lines; returns False when they cannot be sent now and are lost.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        key: step_pb2.StepKey,
        store: LogStore,
        send: Callable[[log_pb2.LogLines], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.key = key
        self.store = store
        self._send = send
        self._clock = clock
        self._sequence = 0
        self._dropped = 0
        self._lines: list[log_pb2.LogLine] = []
        self._bytes = 0
        # The last line of a stream while it has no end: at most `_LINE_BYTES` of it.
        self._partial: dict[log_pb2.Stream.ValueType, bytes] = {}
        self._starts: dict[log_pb2.Stream.ValueType, _Start] = {}
        self._partial_since = 0.0
        # Streams whose last line was sent before its line end: that end is no line of its own.
        self._told_early: set[log_pb2.Stream.ValueType] = set()
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._tail = b""
        self._tokens = float(_BURST_BYTES)
        self._refilled = clock()
        self._waiting_since = 0.0

    @property
    def waiting(self) -> bool:
        """Tell whether `tick` has something to do."""
        return bool(self._lines or self._partial or self._dropped or self._held)

    def feed(self, stream: log_pb2.Stream.ValueType, data: bytes) -> None:
        """Add output of the step."""
        if stream == STDERR:
            self._tail = (self._tail + data)[-_TAIL_BYTES:]
        self._keep(data)
        start = self._starts.pop(stream, _AT_LINE)
        if data and stream in self._told_early:
            self._told_early.discard(stream)
            start = _Start(continues=not data.startswith(b"\n"))
            data = data.removeprefix(b"\n")
        text = self._partial.pop(stream, b"") + data
        if not self._allow(len(data)):
            self._hold(stream, text, start)
            return
        if self._held:
            self._release(sent=self._allow(self._held_bytes))
        *lines, rest = text.split(b"\n")
        for line in lines:
            self._line(stream, line, start)
            start = _AT_LINE
        if rest:
            self._keep_partial(stream, rest, start)

    def _keep(self, data: bytes) -> None:
        """Add output to the complete log. A step must not suffer when the runner's disk is full: its lines go on."""
        try:
            if self.store.add(data):
                self.remark(
                    f"the log is longer than {self.store.limit} bytes: only its beginning and its end are kept"
                )
        except OSError as error:
            self.store.give_up()
            self.remark(
                f"the runner cannot keep the complete log ({error.strerror}): there are only these lines"
            )

    def remark(self, text: str) -> None:
        """Add a remark of the runner about the step."""
        self._release(sent=True)
        self._line(SYSTEM, text.encode(errors="backslashreplace"))

    def end_streams(self) -> None:
        """End the streams: held lines are sent, and a rest without a line end becomes a line."""
        self._release(sent=True)
        self._end_partials()

    def _end_partials(self) -> None:
        if not self._partial:
            return
        for stream, data in sorted(self._partial.items()):
            self._line(stream, data, self._starts.get(stream, _AT_LINE))
        self._partial.clear()
        self._starts.clear()

    def tick(self) -> None:
        """Send lines that have waited long enough. Called about every 100 ms."""
        now = self._clock()
        if self._held and self._allow(self._held_bytes):
            self._release(sent=True)
        if self._partial and now - self._partial_since >= 0.2 and not self._held:
            self._told_early.update(self._partial)
            self._end_partials()
        if self._lines or (self._dropped and now - self._waiting_since >= 1.0):
            self.flush()

    def flush(self) -> None:
        """Send all complete lines now."""
        if not self._lines and not self._dropped:
            return
        message = log_pb2.LogLines(key=self.key, lines=self._lines, dropped=self._dropped)
        lost = self._dropped
        self._dropped = 0
        if not self._send(message):
            self._dropped = lost + len(self._lines)
        self._lines = []
        self._bytes = 0
        self._waiting_since = self._clock()

    def tail(self) -> str:
        """Return the end of the standard error."""
        return self._tail.decode("utf-8", "replace").lstrip("\n")

    def _line(
        self, stream: log_pb2.Stream.ValueType, data: bytes, start: _Start = _AT_LINE
    ) -> None:
        self._sequence += 1
        self._append(self._sequence, stream, data, start)
        if self._bytes >= _RECORD_BYTES:
            self.flush()

    def _append(
        self, number: int, stream: log_pb2.Stream.ValueType, data: bytes, start: _Start
    ) -> None:
        size = len(data) + start.passed
        told = data[:_LINE_BYTES]
        text = told.decode("utf-8", "replace").rstrip("\r")
        if size > _LINE_BYTES:
            # A character may have been cut.
            text = text.rstrip("\N{REPLACEMENT CHARACTER}")
        self._lines.append(
            log_pb2.LogLine(
                sequence=number,
                time_us=time.time_ns() // 1000,
                stream=stream,
                text=text,
                size_bytes=size if size > _LINE_BYTES else 0,
                continues=start.continues,
            )
        )
        self._bytes += len(told)

    def _keep_partial(
        self, stream: log_pb2.Stream.ValueType, data: bytes, start: _Start = _AT_LINE
    ) -> None:
        if not self._partial:
            self._partial_since = self._clock()
        self._partial[stream] = data[:_LINE_BYTES]
        passed = start.passed + max(0, len(data) - _LINE_BYTES)
        if passed or start.continues:
            self._starts[stream] = _Start(passed=passed, continues=start.continues)

    def _allow(self, size: int) -> bool:
        now = self._clock()
        self._tokens = min(
            float(_BURST_BYTES), self._tokens + (now - self._refilled) * _BYTES_PER_SECOND
        )
        self._refilled = now
        if self._tokens < size:
            return False
        self._tokens -= size
        return True

    def _hold(self, stream: log_pb2.Stream.ValueType, text: bytes, start: _Start) -> None:
        """Hold the lines that end in `text`, and drop the oldest beyond the bound.

        The numbers of dropped lines are used up, so that readers see the gap.
        """
        end = text.rfind(b"\n") + 1
        lines = text.count(b"\n")
        if lines:
            whole = _Held(
                stream=stream,
                first=self._sequence + 1,
                lines=lines,
                text=text[:end],
                start=start,
            )
            start = _AT_LINE
            held = whole.newest(_HELD_BYTES)
            self._sequence += lines
            self._dropped += lines - held.lines
            self._held.append(held)
            self._held_bytes += len(held.text)
        while self._held_bytes > _HELD_BYTES:
            self._lose()
        rest = text[end:]
        if rest:
            self._keep_partial(stream, rest, start)

    def _lose(self) -> None:
        lost = self._held.popleft()
        self._held_bytes -= len(lost.text)
        self._dropped += lost.lines

    def _release(self, *, sent: bool) -> None:
        """Send or drop the held lines: lines with larger numbers follow."""
        while self._held:
            if not sent:
                self._lose()
                continue
            held = self._held.popleft()
            self._held_bytes -= len(held.text)
            start = held.start
            for number, line in enumerate(held.text.split(b"\n")[:-1], held.first):
                self._append(number, held.stream, line, start)
                start = _AT_LINE
                if self._bytes >= _RECORD_BYTES:
                    self.flush()
