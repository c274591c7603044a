"""Runs one child in a session and process group of its own, and leaves nothing of it alive.

The runner starts it as `python -S -E supervisor.py FD`; FD is a stream socket of JSON lines. The runner first
sends the order (see `Supervisor`), then {"renew": seconds} and {"stop": true}. The supervisor answers
{"kind": "running", "pid", "group"} or {"kind": "failed", "message", "program"}, and at the end {"kind":
"ended", "status", "reason", "memory"}, when no process is left. When the socket closes (the runner is dead)
or no renewal arrives in time, it ends the child by itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any

# The directory of the package: nothing else puts it on the path here.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
from kaon_runner.supervision import groups, limits

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CLEANUP_SECONDS = 10.0
_LOOK_SECONDS = 0.01
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Supervisor:
    """One child from start to end.

    Args:
        control: The socket to the runner.
        order: "argv", "env", "cwd" (null: unchanged), "token", "grace" (seconds from TERM to KILL), "deadline" (seconds, until the
            first renewal), "cleanup" (commands for an end that the child did not choose), "bounds" (see `limits.Limits`),
            "keep" (file descriptors for the child beside its output).
        said: The bytes that the runner sent after the order.
    """

    def __init__(self, control: socket.socket, order: dict[str, Any], said: bytes = b"") -> None:
        self._control = control
        self._order = order
        self._buffer = said
        self._deadline = time.monotonic() + order["deadline"]
        self._group = groups.create(order["token"], os.getpid())
        self._limits = limits.Limits(self._group, **order["bounds"])
        self._main = 0
        self._status: int | None = None
        self._reason = "exited"
        self._wake = _wake_on_child()

    def run(self) -> None:
        """Start the child and return when nothing of it is left and the runner knows."""
        error = self._spawn()
        if error:
            self._limits.remove()
            self._group.remove()
            self._say({"kind": "failed", **error})
            return
        self._say({"kind": "running", "pid": self._main, "group": self._group.kind})
        self._watch()
        if self._reason != "exited":
            self._terminate()
        self._kill_all()
        memory = self._memory()
        self._limits.remove()
        self._group.remove()
        # A killed child could not clean up after itself.
        killed = self._status is not None and os.WIFSIGNALED(self._status)
        if self._reason != "exited" or killed:
            self._clean_up()
        self._say(
            {"kind": "ended", "status": self._status, "reason": self._reason, "memory": memory}
        )

    def _spawn(self) -> dict[str, Any]:
        """Fork the child.

        Returns:
            The fault: "message", and whether it is the "program"'s; empty when the child runs.
        """
        read_end, write_end = os.pipe()
        self._main = os.fork()
        if self._main == 0:
            os.close(read_end)
            self._become(write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as report:
            text = report.read()
        _detach_output(self._order["keep"])
        if not text:
            return {}
        os.waitpid(self._main, 0)
        error: dict[str, Any] = json.loads(text)
        return error

    def _become(self, report: int) -> None:
        """Become the program in the forked child, or report why that failed."""
        program = self._order["argv"][0]
        wrong = False
        try:
            os.setsid()
            self._group.enter()
            self._limits.enter()
            for number in _IGNORED:
                signal.signal(number, signal.SIG_DFL)
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if self._order["cwd"]:
                os.chdir(self._order["cwd"])
            for fd in self._order["keep"]:
                os.set_inheritable(fd, True)
            env = {**self._order["env"], groups.MARK: self._order["token"]}
            wrong = True
            os.execvpe(program, self._order["argv"], env)
        except BaseException as error:
            os.write(
                report,
                json.dumps(
                    {"message": f"cannot start {program!r}: {error}", "program": wrong}
                ).encode(),
            )
        finally:
            os._exit(127)

    def _watch(self) -> None:
        """Return when the child has ended or must be ended; `_reason` tells which."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        if not self._obey(b""):
            return
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                self._reason = "deadline"
                return
            ready = {fd for fd, _ in poll.poll(left * 1000)}
            if self._wake.fileno() in ready:
                self._wake.recv(4096)
                self._reap()
                if self._status is not None:
                    return
            if self._control.fileno() in ready and not self._listen():
                return

    def _listen(self) -> bool:
        """Read the runner's messages; return False when the child must be ended."""
        try:
            data = self._control.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._reason = "orphaned"
            return False
        return self._obey(data)

    def _obey(self, data: bytes) -> bool:
        """Execute the runner's messages; return False when the child must be ended."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "renew" in order:
                self._deadline = time.monotonic() + order["renew"]
            if "stop" in order:
                self._reason = "stopped"
                return False
        return True

    def _terminate(self) -> None:
        """Send TERM to all, then wait until they are gone or the grace is over."""
        self._group.send(signal.SIGTERM)
        end = time.monotonic() + self._order["grace"]
        while time.monotonic() < end:
            self._reap()
            if not self._group.members():
                return
            select.select([self._wake], [], [], _LOOK_SECONDS)

    def _kill_all(self) -> None:
        """Send KILL until nothing is left.

        There is no time-out: a process that cannot be killed now is in the kernel, and will be.
        """
        while True:
            self._reap()
            if not self._group.members():
                break
            self._group.kill()
            select.select([self._wake], [], [], _LOOK_SECONDS)
        self._reap()

    def _memory(self) -> dict[str, int] | None:
        """Return the child's memory limit and usage when the kernel killed it for lack of memory."""
        if not self._limits.exhausted(self._status):
            return None
        return {"limit": self._limits.memory_bytes, "peak": self._limits.peak_bytes()}

    def _reap(self) -> None:
        """Collect the status of every ended child, including those inherited as subreaper."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._main:
                self._status = status

    def _clean_up(self) -> None:
        for argv in self._order["cleanup"]:
            pid = os.fork()
            if pid == 0:
                try:
                    os.execvp(argv[0], argv)
                finally:
                    os._exit(127)
            self._await(pid, argv)

    def _await(self, pid: int, argv: list[str]) -> None:
        end = time.monotonic() + _CLEANUP_SECONDS
        while time.monotonic() < end:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                if status:
                    self._say({"kind": "cleanup", "argv": argv, "message": f"wait status {status}"})
                return
            select.select([self._wake], [], [], _LOOK_SECONDS)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self._say(
            {"kind": "cleanup", "argv": argv, "message": f"killed after {_CLEANUP_SECONDS:.0f} s"}
        )

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # the runner is dead; that is why we are here


def _wake_on_child() -> socket.socket:
    """Return a socket that becomes readable when a child ends."""
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    # The process keeps the writing end open.
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def _detach_output(kept: list[int]) -> None:
    """Close the child's output here, so that its readers see the end of file when the child and its children are gone."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    for fd in kept:
        os.close(fd)


def main() -> None:
    """Run the supervisor."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    data = b""
    while b"\n" not in data:
        chunk = control.recv(1 << 20)
        if not chunk:
            return
        data += chunk
    order, _, said = data.partition(b"\n")
    Supervisor(control, json.loads(order), said).run()


if __name__ == "__main__":
    main()
