"""Reads streams of gRPC so that Ctrl-C breaks no channel.

KeyboardInterrupt is raised in the main thread, wherever that is. Inside of gRPC it can leave a lock taken: its
`threading.Condition` is Python code, so that an interrupt can come after `__enter__` has acquired and before the `with` statement
knows it. The thread that hands out what a channel receives then waits for ever, and with it each stream of that channel. So
where the main thread reads a stream, another one makes the calls of gRPC, and hands over through `queue.SimpleQueue`, which is
C and which no interrupt leaves halfway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

from kaon_wire.waiting import taken

# Responses that are read before they are asked for. A reader that is slow still slows down the service.
AHEAD = 4


def responses(call: Callable[[], Any]) -> Iterator[Any]:
    """Yield the responses of a call, and cancel it when the iterator is closed.

    Args:
        call: Makes it. Returns an iterator of responses that has `cancel`, as gRPC does.

    Raises:
        BaseException: What the call raises.
    """
    if threading.current_thread() is not threading.main_thread():
        yield from call()
        return
    beside = _Beside(call)
    try:
        yield from beside.responses()
    finally:
        beside.close()


class _Beside:
    """Reads a stream on a thread of its own.

    Args:
        call: Makes the call.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self._make = call
        # A response, or what ended the stream: nothing, or an error.
        self._read: SimpleQueue[tuple[Any, bool, BaseException | None]] = SimpleQueue()
        # One item allows one more response to be read.
        self._room: SimpleQueue[None] = SimpleQueue()
        self._call: Any = None
        self._closed = False

    def responses(self) -> Iterator[Any]:
        """Yield them. To be used once."""
        for _ in range(AHEAD):
            self._room.put(None)
        threading.Thread(target=self._run, name="stream", daemon=True).start()
        while True:
            response, is_last, error = taken(self._read)
            if error is not None:
                raise error
            if is_last:
                return
            yield response
            self._room.put(None)

    def close(self) -> None:
        """Cancel the call, unless it has ended, and let the thread end."""
        self._closed = True
        self._room.put(None)
        if self._call is not None:
            self._call.cancel()

    def _run(self) -> None:
        try:
            self._call = self._make()
            if self._closed:
                # Whoever closed may have done so before there was a call.
                self._call.cancel()
            for response in self._call:
                self._room.get()
                if self._closed:
                    return
                self._read.put((response, False, None))
        except BaseException as error:
            self._read.put((None, True, error))
        else:
            self._read.put((None, True, None))
