"""What a runner and a worker say to each other: packets with steps and answers, and signals on a channel of their own.

Requests wait in the packet socket itself, of which the runner keeps both ends: a packet is received exactly once, so whatever the
runner can still receive from the worker's end has not been started, and can go elsewhere. The worker needs no thread for that.
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

_quote = json.JSONEncoder().encode


class Channel:
    """Both sockets between a runner and one worker, with both ends of each.

    Attributes:
        own: the runner's end of the socket for steps and answers.
        peer: the worker's end of it.
    """

    def __init__(self) -> None:
        self.own, self.peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.own, self.peer):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * PACKET_BYTES)
        self._signals, self._signals_peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._signals.setblocking(False)
        # Signals that their socket had no room for.
        self._unsent: deque[bytes] = deque()

    @property
    def given(self) -> tuple[int, int]:
        """The descriptors that the worker gets: for steps and answers, and for signals."""
        return self.peer.fileno(), self._signals_peer.fileno()

    def submit(self, number: int, *, target: str, whole: bool, context: str) -> None:
        """Sends a step.

        Args:
            number: names the step in answers and signals.
            target: "module:function".
            whole: whether the function takes the context alone.
            context: context.json, as text.

        Raises:
            BlockingIOError: the socket is full of steps that wait.
        """
        flag = "true" if whole else "false"
        packet = f'{{"id":{number},"target":{_quote(target)},"whole":{flag},"context":{context}}}'.encode()
        packets.send(self.own, packet, number)

    def take_back(self) -> set[int]:
        """Receives the steps that the worker has not received, and returns their numbers."""
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
        """What the worker has said and nobody has read. Tells `unreadable` of what cannot be read."""
        while True:
            try:
                packet = packets.receive(self.own)
                if not packet:
                    return
                message = json.loads(packet)
            except (BlockingIOError, ConnectionResetError):
                return
            except (ValueError, RecursionError) as error:
                unreadable(error)
                continue
            yield message

    def signal(self, number: int, signal: runner_pb2.SignalStep) -> None:
        """Sends a message to a step, as soon as there is room."""
        self._unsent.append(json.dumps({"id": number, **as_message(signal)}).encode())
        self.send_signals()

    def send_signals(self) -> None:
        """Sends signals that had no room before."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                packets.send(self._signals, self._unsent[0])
                self._unsent.popleft()

    def close(self) -> None:
        """Closes all ends."""
        for end in (self.own, self.peer, self._signals, self._signals_peer):
            end.close()


def as_message(signal: runner_pb2.SignalStep) -> dict[str, Any]:
    """A signal as the step protocol has it."""
    payload = json.loads(signal.payload_json) if signal.payload_json else None
    return {"seq": signal.signal_seq, "name": signal.name, "payload": payload}


def _number_of(packet: bytes) -> int:
    """Requests begin with their id, so that it is found without reading the rest."""
    return int(packet[len(b'{"id":') : packet.index(b",")])
