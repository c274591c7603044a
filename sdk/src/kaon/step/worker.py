"""A warm worker: runs one step after the other in one process.

Started by the runner under a supervisor as `python -m kaon.step.worker FD SIGNALS TOKEN [MODULE...]`. FD is a packet socket with
one JSON document a packet; what is too large for one comes as `packets.py` says. A request is {"id", "target", "whole", "context"}.
The answer is {"id", "kind": "succeeded", "outputs"} or {"id", "kind": "error", ...}; events of the step come before it.
With {"kept": true} in it, the step has written nothing to its directory, which is the worker's until it ends.
After each step the line "<TOKEN> <id>" is written to stdout and stderr, so that the runner knows which step printed what.

Every step has its own working directory, and what it changed in the process is put back after it. Where that is not possible,
because it has left threads or child processes, the answer says {"ends": what is left}: the worker ends, and all that it started.
A process that a step forks is no worker: it can say nothing, and ends when the step's function ends in it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any

from kaon.step import packets
from kaon.step.call import (
    answer_to,
    call,
    find_code,
    load,
    told,
)
from kaon.step.context import StepCancelled, StepContext, refuse_copy
from kaon.step.place import Places
from kaon.step.signals import Inbox
from kaon.step.state import ProcessState, copies_of_streams, flush_streams

# Made once: `json.dumps` would make one for every call. A number of an event may be none (a metric), one of an output not.
_encode = json.JSONEncoder(allow_nan=False).encode
_encode_event = json.JSONEncoder().encode
_decode = json.JSONDecoder().decode
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


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
        self._pid = os.getpid()
        self._places = Places()
        self._streams = copies_of_streams()
        self._loaded: set[str] = set()

    def serve(self) -> None:
        """Run step after step; return when the runner is gone."""
        signal.signal(signal.SIGTERM, self._on_term)
        os.register_at_fork(after_in_child=self._forked)
        self._state = ProcessState(self._streams)
        while True:
            packet = packets.receive(self._channel)
            if not packet:
                self._places.close()
                return
            self._run(_decode(packet.decode()))

    def _run(self, request: dict[str, Any]) -> None:
        self._id = request["id"]
        inbox = Inbox(self._signals.fileno(), self._signalled)
        context = StepContext(
            request["context"], partial(self._emit, self._id, encode=_encode_event), inbox
        )
        self._current = context
        answer = self._called(request, context)
        stopping, self._current = context.is_cancelled, None
        inbox.close()
        left = self._tidy()
        # Where the runner may look at it any time, or the worker ends, it is not kept.
        kept = self._places.leave(keep=not (stopping or left or context.serves))
        about: dict[str, Any] = {"ends": left} if left else {"kept": True} if kept else {}
        try:
            self._emit(self._id, answer | about)
        except (ValueError, TypeError, RecursionError) as error:
            self._emit(
                self._id, told("InvalidOutputs", f"the outputs are not JSON: {error}") | about
            )
        if stopping or left:
            self._exit()

    def _called(self, request: dict[str, Any], context: StepContext) -> dict[str, Any]:
        """Run the step's function and return the answer. In a process that the step has forked, return nothing."""
        try:
            self._places.enter(request["context"]["paths"]["work"])
        except OSError as error:
            return told("StepDirectory", f"the step's directory cannot be made: {error}") | {
                "user": False
            }
        try:
            self._load(request["target"])
            outputs = call(request["target"], context, inputs_as_arguments=not request["whole"])
        except BaseException as error:
            if os.getpid() != self._pid:
                raise  # to the end of this process, as in any program
            return _answer(error)
        if os.getpid() != self._pid:
            sys.exit(0)
        return {"kind": "succeeded", "outputs": outputs}

    def _load(self, target: str) -> None:
        """Import the function's module. The changes of the import belong to the module and are not restored."""
        if target not in self._loaded:
            load(target)
            self._state = ProcessState(self._streams)
            self._loaded.add(target)

    def _tidy(self) -> list[str]:
        """End the output of the step and its changes. Return what it has left that only ends with the worker."""
        flush_streams()
        left = self._state.restore()
        mark = f"\n{self._token} {self._id}\n".encode()
        for fd in self._streams[1:]:
            os.write(fd, mark)
        return left

    def _exit(self) -> None:
        self._places.close()
        os._exit(0)

    def _forked(self) -> None:
        """In a process that the step has forked: it is not the worker."""
        self._channel.close()
        self._signals.close()
        if signal.getsignal(signal.SIGTERM) == self._on_term:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _signalled(self) -> list[dict[str, Any]]:
        """Return the messages to the current step; those to earlier steps are too late."""
        refuse_copy(self._pid)
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

    def _emit(
        self, number: int, event: dict[str, Any], encode: Callable[[Any], str] = _encode
    ) -> None:
        refuse_copy(self._pid)
        data = encode({"id": number, **event}).encode()
        with self._lock:
            packets.send(self._channel, data, number)

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        current = self._current
        if current is None:
            self._exit()
            return
        if not current.cancel():
            raise StepCancelled


def _answer(error: BaseException) -> dict[str, Any]:
    """Return the result of the step."""
    if isinstance(error, StepCancelled):
        os._exit(128 + signal.SIGTERM)
    return answer_to(error)


def _follow(token: str) -> None:
    """Dies with the supervisor, whatever ends it, and adopts what its children leave behind."""
    parent = os.getppid()
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # Children that a child leaves behind become the worker's own, so that it sees them.
    library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Entry point."""
    fd, signals_fd, token, *preload = sys.argv[1:]
    _follow(token)
    sys.argv[1:] = []
    find_code()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    channel, signals = socket.socket(fileno=int(fd)), socket.socket(fileno=int(signals_fd))
    for end in (channel, signals):
        end.set_inheritable(False)
    for name in preload:
        import_module(name)
    Worker(channel, signals, token).serve()


if __name__ == "__main__":
    main()
