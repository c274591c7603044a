"""A warm worker: runs one step after the other in one process.

Started by the runner under a supervisor as `python -m kaon.step.worker FD SIGNALS TOKEN [MODULE...]`. FD is a packet socket with
one JSON document a packet; what is too large for one comes as `packets.py` says. A request is {"id", "target", "whole", "context"}.
The answer is {"id", "kind": "succeeded", "outputs"} or {"id", "kind": "error", ...}; events of the step come before it.
After each step the line "<TOKEN> <id>" is written to stdout and stderr, so that the runner knows which step printed what.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
from importlib import import_module
from types import FrameType
from typing import Any

from kaon.step import packets
from kaon.step.call import InvalidOutputs, InvalidTarget, call, exit_code, failure
from kaon.step.context import StepCancelled, StepContext
from kaon.step.signals import Inbox

# Made once: `json.dumps` would make one for every call.
_encode = json.JSONEncoder(allow_nan=False).encode
_PR_SET_PDEATHSIG = 1


class Worker:
    """Serves requests until the runner closes the socket.

    Args:
        channel: the packet socket.
        signals: another one, on which messages to steps come: {"id", "seq", "name", "payload"}.
        token: what marks the end of a step's output.
    """

    def __init__(self, channel: socket.socket, signals: socket.socket, token: str) -> None:
        self._channel = channel
        self._signals = signals
        # For steps that have not begun.
        self._early: list[dict[str, Any]] = []
        self._token = token
        self._current: StepContext | None = None
        self._id = 0
        # User threads may emit while the main thread does.
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Runs step after step; returns when the runner is gone."""
        signal.signal(signal.SIGTERM, self._on_term)
        while True:
            packet = packets.receive(self._channel)
            if not packet:
                return
            self._run(json.loads(packet.decode()))

    def _run(self, request: dict[str, Any]) -> None:
        self._id = request["id"]
        inbox = Inbox(self._signals.fileno(), self._signalled)
        context = StepContext(request["context"], self._emit, inbox)
        self._current = context
        try:
            outputs = call(request["target"], context, inputs_as_arguments=not request["whole"])
            answer: dict[str, Any] = {"kind": "succeeded", "outputs": outputs}
        except StepCancelled:
            os._exit(128 + signal.SIGTERM)
        except (InvalidTarget, InvalidOutputs) as error:
            answer = {
                "kind": "error",
                "type": type(error).__name__,
                "message": str(error),
                "user": True,
                "traceback": "",
            }
        except SystemExit as error:
            answer = _exit_answer(error)
        except BaseException as error:
            answer = failure(error)
        stopping, self._current = context.is_cancelled, None
        inbox.close()
        self._mark()
        try:
            self._emit(answer)
        except (ValueError, RecursionError) as error:
            self._emit(
                {
                    "kind": "error",
                    "type": "InvalidOutputs",
                    "message": f"the outputs are not JSON: {error}",
                    "user": True,
                    "traceback": "",
                }
            )
        if stopping:
            os._exit(0)

    def _signalled(self) -> list[dict[str, Any]]:
        """The messages to the current step that have come; those to earlier steps are too late."""
        while True:
            try:
                packet = packets.receive(self._signals, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not packet:
                break
            self._early.append(json.loads(packet))
        mine = [message for message in self._early if message["id"] == self._id]
        self._early = [message for message in self._early if message["id"] > self._id]
        return mine

    def _mark(self) -> None:
        """Ends the step's output."""
        mark = f"\n{self._token} {self._id}\n".encode()
        for stream, fd in ((sys.stdout, 1), (sys.stderr, 2)):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # closed by the step; what it had written by then is out
            os.write(fd, mark)

    def _emit(self, event: dict[str, Any]) -> None:
        data = _encode({"id": self._id, **event}).encode()
        with self._lock:
            packets.send(self._channel, data, self._id)

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        current = self._current
        if current is None:
            os._exit(0)
        if not current.cancel():
            raise StepCancelled


def _exit_answer(error: SystemExit) -> dict[str, Any]:
    if exit_code(error) == 0:
        return {"kind": "succeeded", "outputs": {}}
    return {
        "kind": "error",
        "type": "ExitCode",
        "message": f"the step called sys.exit({error.code!r})",
        "user": True,
        "traceback": "",
    }


def _follow(token: str) -> None:
    """Dies with the supervisor, whatever ends it."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Entry point."""
    fd, signals_fd, token, *preload = sys.argv[1:]
    _follow(token)
    sys.argv[1:] = []
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    channel, signals = socket.socket(fileno=int(fd)), socket.socket(fileno=int(signals_fd))
    for end in (channel, signals):
        end.set_inheritable(False)
    for name in preload:
        import_module(name)
    Worker(channel, signals, token).serve()


if __name__ == "__main__":
    main()
