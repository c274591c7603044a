"""The protocol between a runner and a worker: packets with steps and answers, and signals on a channel of their own.

Requests wait in the packet socket itself, both ends of which the runner keeps. A packet is received exactly
once, so a request that the runner can still receive from the worker's end has not been started, and can go
elsewhere. The worker needs no thread for that.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from kaon.step import packets
from kaon.step.packets import PACKET_BYTES
from kaonapi.runner.v1 import runner_pb2

_quote = json.encoder.encode_basestring_ascii
_decode = json.JSONDecoder().decode


class Channel:
    """Both sockets between a runner and one worker, with both ends of each.

    Attributes:
        own: The runner's end of the socket for steps and answers.
        peer: The worker's end of it.
    """

    def __init__(self) -> None:
        self.own, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.own, self.peer):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * PACKET_BYTES)
        self._signals, self._signals_peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._signals.setblocking(False)
        # Signals that did not fit into their socket.
        self._unsent: deque[bytes] = deque()

    @property
    def given(self) -> tuple[int, int]:
        """Return the worker's descriptors: for steps and answers, and for signals."""
        return self.peer.fileno(), self._signals_peer.fileno()

    @property
    def closed(self) -> bool:
        """Tell whether the ends are closed."""
        return self.own.fileno() < 0

    def submit(self, number: int, *, target: str, whole: bool, context: str) -> None:
        """Send a step.

        Args:
            number: The step's number in answers and signals.
            target: "module:function".
            whole: Whether the function takes the context alone.
            context: The content of context.json, as text.

        Raises:
            BlockingIOError: The socket is full of waiting steps.
        """
        flag = "true" if whole else "false"
        packet = f'{{"id":{number},"target":{_quote(target)},"whole":{flag},"context":{context}}}'.encode()
        packets.send(self.own, packet, number)

    def take_back(self) -> set[int]:
        """Receive the steps that the worker has not received, and return their numbers."""
        taken: set[int] = set()
        while True:
            try:
                packet = self.peer.recv(2 * PACKET_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if not packet:
                break
            taken.add(_number_of(packet))
        return taken

    def messages(self, unreadable: Callable[[Exception], None]) -> Iterator[dict[str, Any]]:
        """Yield the worker's unread messages. `unreadable` is called with malformed ones."""
        while True:
            try:
                packet = packets.receive(self.own)
                if not packet:
                    return
                message = _decode(packet.decode())
            except (BlockingIOError, ConnectionResetError):
                return
            except (ValueError, RecursionError) as error:
                unreadable(error)
                continue
            yield message

    def signal(self, number: int, signal: runner_pb2.SignalStep) -> None:
        """Send a message to a step, as soon as there is room."""
        self._unsent.append(json.dumps({"id": number, **as_message(signal)}).encode())
        self.send_signals()

    def send_signals(self) -> None:
        """Send signals that did not fit before."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                packets.send(self._signals, self._unsent[0])
                self._unsent.popleft()

    def close(self) -> None:
        """Close all ends."""
        for end in (self.own, self.peer, self._signals, self._signals_peer):
            end.close()


def as_message(signal: runner_pb2.SignalStep) -> dict[str, Any]:
    """Return a signal in the form of the step protocol."""
    payload = json.loads(signal.payload_json) if signal.payload_json else None
    return {"seq": signal.signal_seq, "name": signal.name, "payload": payload}


def _number_of(packet: bytes) -> int:
    """Return the number of a request, which begins with it, without parsing the rest."""
    return int(packet[len(b'{"id":') : packet.index(b",")])
