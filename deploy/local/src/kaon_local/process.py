"""One child process in its own session, which the kernel ends when we end.

The kernel sends the death signal when the THREAD that started the child ends, so every child is started by one thread that lives
as long as the process.
"""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from kaon_local.errors import MissingTool


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run, and how it wants to be ended."""

    argv: tuple[str, ...]
    # Added to our own environment.
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    # Run as this user; None = as we are.
    user: str | None = None
    # What the kernel sends the child when we die. KILL leaves nothing; TERM is for servers with children of their own.
    death_signal: signal.Signals = signal.SIGKILL
    # What asks for a clean end, and the seconds before SIGKILL to the whole process group.
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0


class Child:
    """A running process. Its output goes to `log`, appended."""

    def __init__(self, command: Command, log: Path) -> None:
        self.command = command
        self._process = _spawn(command, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end; None when it still runs after `seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; nothing happens if it has ended."""
        if self.running:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it cleanly, then by force; nothing of its process group is left."""
        self.signal(self.command.stop_signal)
        self.wait(self.command.stop_seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole process group, and wait for the end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def _spawn(command: Command, log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [*_wrapper(command), *command.argv]

    def popen() -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                argv,
                cwd=command.cwd,
                env={**os.environ, **command.env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    return _spawner.call(popen)


def _wrapper(command: Command) -> list[str]:
    """`setpriv` sets the death signal and the user, then becomes the program: no process of its own remains."""
    if not shutil.which(command.argv[0]):
        raise MissingTool(
            f"{command.argv[0]} is not installed; `make system` installs or lists what this machine lacks"
        )
    if sys.platform != "linux":
        return []
    words = ["setpriv", "--pdeathsig", command.death_signal.name.removeprefix("SIG")]
    if command.user is not None:
        words += ["--reuid", command.user, "--regid", command.user, "--init-groups"]
    return [*words, "--"]


class _Spawner:
    """The thread that starts every child."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]
        ]
        self._calls = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._owner = 0

    def call(self, work: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            # A fork copies this object without its thread.
            if self._thread is None or self._owner != os.getpid():
                self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
                self._owner = os.getpid()
                self._thread.start()
        result: Future[subprocess.Popen[bytes]] = Future()
        self._calls.put((work, result))
        return result.result()

    def _run(self) -> None:
        while True:
            work, result = self._calls.get()
            try:
                result.set_result(work())
            except OSError as error:
                result.set_exception(error)


_spawner = _Spawner()
