"""The runner's side of a supervised child: starts it, receives its messages, and ends it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from kaon_runner.errors import PlatformStepError, UserStepError
from kaon_runner.supervision import groups, limits
from kaon_wire.errors import KaonError

log = structlog.get_logger(__name__)
_SCRIPT = str(Path(__file__).with_name("supervisor.py"))
# How long processes may take to die after the supervisor itself was killed.
_DESTROY_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Resource limits of a child and its descendants; 0: no limit."""

    # Thousandths of a core.
    cpu_milli: int = 0
    memory_bytes: int = 0
    # Processes and threads.
    pids: int = 0


@dataclass(frozen=True, kw_only=True)
class Exhausted:
    """The kernel killed a process for lack of memory."""

    # The child's limit in bytes; 0: the whole machine.
    limit_bytes: int
    # The peak usage in bytes; 0 where it is not counted.
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order to a supervisor."""

    argv: tuple[str, ...]
    # The child's complete environment.
    env: Mapping[str, str]
    cwd: Path | None = None
    # Run by the supervisor when the child did not end by itself.
    cleanup: tuple[tuple[str, ...], ...] = ()
    # TERM to KILL, seconds.
    grace_seconds: float = 3.0
    # Seconds without a renewal after which the supervisor ends the child by itself.
    deadline_seconds: float = 60.0
    bounds: Bounds = Bounds()
    # File descriptors that the child inherits beside its output.
    keep: tuple[int, ...] = ()
    # Fields of log lines about it.
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a child ended. No process of it is left."""

    # Exit code; None when a signal ended it, or when it is unknown.
    code: int | None = None
    # The signal that ended it.
    signal: int | None = None
    # "exited" (by itself), "stopped" (on request), "deadline" (no renewal), "orphaned", "lost" (its supervisor was killed).
    reason: str = "exited"
    # Set when the end is due to the kernel killing it, or a descendant, for lack of memory.
    exhausted: Exhausted | None = None
    # Whether it ended before its program began.
    before_start: bool = False


@dataclass(kw_only=True)
class Child:
    """A supervised child process."""

    pid: int
    # Non-blocking reading ends of its output.
    stdout: int
    stderr: int
    ended: asyncio.Future[Ending] = field(repr=False)
    _supervisor: _SupervisorProcess = field(repr=False)

    def renew(self, seconds: float) -> None:
        """Renew the lease: the supervisor waits another `seconds`."""
        self._supervisor.say({"renew": seconds})

    def stop(self) -> None:
        """Send TERM, wait for the grace, then KILL everything. `ended` completes when all are gone."""
        self._supervisor.say({"stop": True})


class _SupervisorProcess:
    """The supervisor's process, and the socket to it."""

    def __init__(
        self, order: Order, process: subprocess.Popen[bytes], control: socket.socket, token: str
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._order = order
        self._process = process
        self._control = control
        self._token = token
        self._buffer = b""
        self._ending: Ending | None = None
        self.running: asyncio.Future[int] = self._loop.create_future()
        self.ended: asyncio.Future[Ending] = self._loop.create_future()
        self._loop.add_reader(control, self._readable)

    def say(self, message: Mapping[str, Any]) -> None:
        try:
            self._control.send(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # it has ended; `ended` completes

    def _readable(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._closed()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        try:
            for line in lines:
                self._heard(json.loads(line))
        except Exception:
            # It ends what it supervises when the line is gone.
            log.exception("supervisor cannot be followed", **self._order.about)
            self._closed()

    def _heard(self, message: Mapping[str, Any]) -> None:
        match message["kind"]:
            case "running":
                if message["group"] == "proc":
                    _warn_once()
                self.running.set_result(message["pid"])
            case "failed":
                fault = UserStepError if message["program"] else PlatformStepError
                self.running.set_exception(fault("CannotStart", message["message"]))
                self._ending = Ending(reason="failed")
            case "cleanup":
                log.warning(
                    "cleanup command failed",
                    argv=message["argv"],
                    reason=message["message"],
                    **self._order.about,
                )
            case "ended":
                self._ending = _ending(message)

    def _closed(self) -> None:
        self._loop.remove_reader(self._control)
        self._control.close()
        self._loop.create_task(self._reap(), name="reap-supervisor")

    async def _reap(self) -> None:
        await self._loop.run_in_executor(None, self._process.wait)
        if self._ending is None:
            await self._loop.run_in_executor(None, self._destroy)
            self._ending = Ending(reason="lost")
        if not self.running.done():
            self.running.set_exception(
                PlatformStepError("CannotStart", "the supervisor ended before the child ran")
            )
        if not self.ended.done():
            self.ended.set_result(self._ending)

    def _destroy(self) -> None:
        """Destroy the group in place of a killed supervisor."""
        group = groups.find(self._token, self._process.pid)
        if not groups.destroy(group, _DESTROY_SECONDS):
            log.error(
                "processes cannot be killed", pids=sorted(group.members()), **self._order.about
            )
        limits.forget(self._token)
        for argv in self._order.cleanup:
            subprocess.run(argv, check=False, timeout=_DESTROY_SECONDS, stdin=subprocess.DEVNULL)


async def start(order: Order) -> Child:
    """Start a child under a supervisor of its own.

    Raises:
        UserStepError: The program does not exist or cannot be executed.
        PlatformStepError: The child could not be started for another reason.
    """
    stdout, child_stdout = os.pipe()
    stderr, child_stderr = os.pipe()
    control, theirs = socket.socketpair()
    token = secrets.token_hex(8)
    try:
        # Takes about a millisecond: not worth a thread.
        process = _spawn((child_stdout, child_stderr), (theirs.fileno(), *order.keep))
    finally:
        for fd in (child_stdout, child_stderr):
            os.close(fd)
        theirs.close()
    message = json.dumps(_message(order, token)).encode() + b"\n"
    control.sendall(message)
    control.setblocking(False)
    supervisor = _SupervisorProcess(order, process, control, token)
    for fd in (stdout, stderr):
        os.set_blocking(fd, False)
    try:
        pid = await supervisor.running
    except KaonError:
        os.close(stdout)
        os.close(stderr)
        await supervisor.ended
        raise
    return Child(
        pid=pid, stdout=stdout, stderr=stderr, ended=supervisor.ended, _supervisor=supervisor
    )


def _spawn(output: tuple[int, int], kept: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """Start the supervisor's process; the first of `kept` is its end of the control socket."""
    return subprocess.Popen(
        [sys.executable, "-S", "-E", _SCRIPT, str(kept[0])],
        stdin=subprocess.DEVNULL,
        stdout=output[0],
        stderr=output[1],
        pass_fds=kept,
        start_new_session=True,
    )


def _message(order: Order, token: str) -> dict[str, Any]:
    return {
        "argv": order.argv,
        "env": dict(order.env),
        "cwd": str(order.cwd) if order.cwd else None,
        "token": token,
        "grace": order.grace_seconds,
        "deadline": order.deadline_seconds,
        "cleanup": order.cleanup,
        "bounds": asdict(order.bounds),
        "keep": order.keep,
    }


def _ending(message: Mapping[str, Any]) -> Ending:
    status = message["status"]
    known = status is not None
    memory = message["memory"]
    return Ending(
        code=os.WEXITSTATUS(status) if known and os.WIFEXITED(status) else None,
        signal=os.WTERMSIG(status) if known and os.WIFSIGNALED(status) else None,
        reason=message["reason"],
        exhausted=Exhausted(limit_bytes=memory["limit"], peak_bytes=memory["peak"])
        if memory
        else None,
    )


def signal_name(number: int) -> str:
    """Return the name of a signal, for example "SIGKILL"."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


_warned = False


def _warn_once() -> None:
    global _warned  # noqa: PLW0603 -- one line per process, whatever the number of runners in it
    if not _warned:
        _warned = True
        log.warning(
            "no writable cgroup; steps are ended by a walk over /proc",
            hint="give the runner a writable cgroup (v2, or the v1 freezer) for a guarantee that holds against processes that "
            "fork without pause",
        )
