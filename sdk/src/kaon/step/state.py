"""What a step can change in its process beside its own objects: noted before a step, put back after it.

Everything here runs once for each step of a warm worker: it compares, and changes only what differs.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]
import _thread
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter, is_
from typing import Any

from kaon.step import logstate

_OBJECTS = ("stdin", "stdout", "stderr", "path", "argv", "excepthook", "displayhook")
_objects: Callable[[], tuple[Any, ...]] = partial(attrgetter(*_OBJECTS), sys)
# Those with a name: the others, in the middle and of real time, nobody handles by chance.
_SIGNALS = tuple(
    int(number) for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP)
)
# Its `==` compares the raw mapping; that of `os.environ` decodes every variable.
_environ: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]


class ProcessState:
    """The state of this process at the moment when it is made.

    Args:
        streams: copies of the descriptors 0, 1 and 2 as they should be.
    """

    def __init__(self, streams: tuple[int, int, int]) -> None:
        self._streams = streams
        self._environ = dict(_environ)
        self._objects = _objects()
        self._lists = [list(sys.path), list(sys.argv)]
        self._recursion = sys.getrecursionlimit()
        self._handlers = _handlers()
        self._filters = list(warnings.filters)
        self._shown = warnings.showwarning
        self._locale = _locale.setlocale(_locale.LC_ALL)
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._threads = _thread._count()
        self._logging = logstate.LogState()

    def restore(self) -> list[str]:
        """Restore the state. Return a description of what cannot be restored: the process cannot run another step then."""
        threads = _thread._count()
        left = ["threads"] if threads > self._threads else []
        self._threads = min(self._threads, threads)
        if _children_left():
            left.append("child processes")
        try:
            self._restore()
        except Exception as error:
            left.append(f"a state that cannot be put back ({type(error).__name__}: {error})")
        left += [
            f"sys.{name} closed"
            for name, stream in zip(("stdout", "stderr"), self._objects[1:3], strict=True)
            if getattr(stream, "closed", True)
        ]
        return left

    def _restore(self) -> None:
        for number, stream in enumerate(self._streams):
            os.dup2(stream, number)
        os.umask(self._umask)
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        if _environ != self._environ:
            _restore_environ(self._environ)
        if (handlers := _handlers()) != self._handlers:
            _restore_handlers(handlers, self._handlers)
        self._restore_interpreter()
        if _locale.setlocale(_locale.LC_ALL) != self._locale:
            _locale.setlocale(_locale.LC_ALL, self._locale)
        self._logging.restore()

    def _restore_interpreter(self) -> None:
        if not all(map(is_, _objects(), self._objects)):
            self._restore_objects()
        for current, saved in zip((sys.path, sys.argv), self._lists, strict=True):
            if current != saved:
                current[:] = saved
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        if warnings.filters != self._filters or warnings.showwarning is not self._shown:
            # The one public way to make the change known to the warnings that are counted already.
            warnings.resetwarnings()
            warnings.filters[:] = self._filters  # type: ignore[index]
            warnings.showwarning = self._shown

    def _restore_objects(self) -> None:
        for name, value in zip(_OBJECTS, self._objects, strict=True):
            if getattr(sys, name) is not value:
                setattr(sys, name, value)
                if name in ("stdout", "stderr"):
                    # The step has printed to both, and this one has not been flushed.
                    flush_streams()


def copies_of_streams() -> tuple[int, int, int]:
    """Descriptors that stay what 0, 1 and 2 are now, whatever a step does with those."""
    first, second, third = (os.dup(number) for number in (0, 1, 2))
    return first, second, third


def flush_streams() -> None:
    """Lets out what was printed and is still buffered."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def _handlers() -> list[Any]:
    # `signal.getsignal` makes enums, which takes ten times as long.
    return [*map(_signal.getsignal, _SIGNALS)]


def _restore_handlers(current: list[Any], saved: list[Any]) -> None:
    for number, now, before in zip(_SIGNALS, current, saved, strict=True):
        if now is not before and now != before:
            signal.signal(number, before)


def _restore_environ(saved: Mapping[bytes, bytes]) -> None:
    for name in _environ.keys() - saved.keys():
        del os.environb[name]
    for name, value in saved.items():
        if _environ.get(name) != value:
            os.environb[name] = value


def _children_left() -> bool:
    """Whether a child still runs, or one of its own that it has left behind. Takes the status of those that have ended."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
