"""Free TCP ports for servers that are restarted on the same port.

They come from below the range that the kernel gives to outgoing connections. In that range, a client that keeps calling a
server which is down can be given the server's own port, connect to itself, and so keep the server from coming back.
"""

import random
import socket
import threading

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


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
