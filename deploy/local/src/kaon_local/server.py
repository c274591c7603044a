"""A real server on this machine: start with a health check, clean stop, and the faults that tests need."""

import logging
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from kaon_local.class_archives import unused
from kaon_local.errors import NotReady, StartFailed
from kaon_local.process import Child, Command

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.03
_LOG_TAIL_BYTES = 3000


class Component(Protocol):
    """What a supervisor can run: a server, or several that belong together."""

    name: str
    started_in: float  # seconds that the last start took
    notice: str  # what its last start fell back to, and what that costs; empty: nothing

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def endpoints(self) -> Mapping[str, str]: ...

    @property
    def running(self) -> bool: ...
    @property
    def pids(self) -> tuple[int, ...]: ...
    @property
    def logs(self) -> tuple[Path, ...]: ...


class Server(ABC):
    """One server process.

    Args:
        name: what it is called in progress lines and what its log file is named after.
        state: a directory of its own for configuration, data and nothing else.
        log: where its output goes; kept over restarts.
        start_seconds: how long it may take to become healthy.
    """

    def __init__(
        self, *, name: str, state: Path, log: Path | None = None, start_seconds: float = 60.0
    ) -> None:
        self.name = name
        self.state = state.absolute()
        self.log = (log or state / f"{name}.log").absolute()
        self.start_seconds = start_seconds
        self.started_in = 0.0
        self.notice = ""
        self._child: Child | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Write configuration and whatever must exist before the process does; called before every start."""

    @abstractmethod
    def _command(self) -> Command:
        """What to run."""

    @abstractmethod
    def _probe(self) -> None:
        """Return when the server does its work; raise NotReady or OSError while it does not.

        Any other exception ends the start at once.
        """

    def _fell_back(self) -> str:
        """What it does in place of something better that this machine lacks; empty: nothing. Called when it is healthy."""
        return ""

    def endpoints(self) -> Mapping[str, str]:
        """Where to find it: environment variables for those that use it."""
        return {}

    def start(self) -> None:
        """Start it and return when it is healthy; StartFailed (it is stopped again) when it is not in time."""
        if self.running:
            return
        began = time.monotonic()
        self.state.mkdir(parents=True, exist_ok=True)
        self._prepare()
        child = self._child = Child(self._command(), self.log)
        try:
            wait_until(self._probe, lambda: self._check_alive(child), seconds=self.start_seconds)
        except BaseException as error:
            child.stop()
            if isinstance(error, NotReady | OSError):
                raise StartFailed(
                    f"{self.name} is not healthy after {self.start_seconds:.0f} s: {error}{self._tail()}"
                ) from error
            raise
        self.started_in = time.monotonic() - began
        self._take_notice()
        _log.info("%s is up after %.1f s", self.name, self.started_in)

    def stop(self) -> None:
        """End it cleanly; nothing happens if it does not run."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL, as a crash would; the state stays."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        """Stop (nothing happens if it was killed) and start on the same state and addresses."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it exists and does nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        """Process id; None when it does not run."""
        return self._child.pid if self._child is not None and self._child.running else None

    @property
    def pids(self) -> tuple[int, ...]:
        return () if self.pid is None else (self.pid,)

    @property
    def logs(self) -> tuple[Path, ...]:
        return (self.log,)

    @property
    def exit_code(self) -> int | None:
        """How the last process ended (negative: by that signal); None while it runs or before the first start."""
        return self._child.exit_code if self._child is not None else None

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.signal(number)

    def _take_notice(self) -> None:
        """Keep what the start fell back to, and write it to the log."""
        self.notice = "; ".join(filter(None, (self._fell_back(), self._without_classes())))
        if self.notice:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{self.name}: {self.notice}\n")

    def _without_classes(self) -> str:
        if self._child is None:
            return ""
        try:
            return unused(self._child.command.argv, Path(f"/proc/{self._child.pid}/maps"))
        except OSError:
            # It has ended meanwhile, or this is no Linux.
            return ""

    def _check_alive(self, child: Child) -> None:
        if not child.running:
            raise StartFailed(
                f"{self.name} ended with exit code {child.exit_code} while it started{self._tail()}"
            )

    def _tail(self) -> str:
        if not self.log.exists():
            return ""
        text = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return f"\n--- end of {self.log}\n{text}"


def wait_until(probe: Callable[[], None], check: Callable[[], None], *, seconds: float) -> None:
    """Call `probe` until it returns; `check` runs between the calls and may raise to give up.

    Raises the probe's last NotReady or OSError after `seconds`.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        check()
        try:
            probe()
        except (NotReady, OSError):
            if time.monotonic() > deadline:
                raise
            pause.wait(_POLL_SECONDS)
        else:
            return
