"""Free TCP ports for servers that are restarted on the same port.

They come from below the range that the kernel gives to outgoing connections. In that range, a client that keeps calling a
server which is down can be given the server's own port, connect to itself, and so keep the server from coming back.
"""

import random
import socket
import threading
from collections.abc import Mapping

from kaon_local.errors import ForeignServer

HOST = "127.0.0.1"
_FIRST, _LAST = 12_000, 31_999

_lock = threading.Lock()
_taken: set[int] = set()


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on and that this process has not been given before."""
    with _lock:
        while True:
            port = random.randint(_FIRST, _LAST)
            if port not in _taken and _bindable(port):
                _taken.add(port)
                return port


def listening(port: int, host: str = HOST) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def check_free(ports: Mapping[str, int]) -> None:
    """Raise ForeignServer when something listens on one of these ports, given by whom they are for.

    A health check would take its answers for those of the server that could not listen there.
    """
    taken = [f"{name} {HOST}:{port}" for name, port in ports.items() if listening(port)]
    if taken:
        raise ForeignServer(
            f"something else listens where this system should: {', '.join(taken)}. End it first: another system that runs for "
            "development, or `kaon serve`"
        )


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
