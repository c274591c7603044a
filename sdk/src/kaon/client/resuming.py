"""Reads stored content over however many streams: a stream that broke continues where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kaon.client.retrying import Patience
from kaon_wire.errors import Conflict


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What the first message of a stream tells about the content."""

    size: int
    digest: str


class Resuming:
    """The bytes of one content.

    Args:
        opened: opens a stream at an offset; it yields an `Opening`, then pieces of bytes.
        told: how errors name the content, such as "the log of step train".
    """

    def __init__(self, opened: Callable[[int], Iterator[Opening | bytes]], told: str) -> None:
        self._opened = opened
        self._told = told
        self._offset = 0
        self._opening: Opening | None = None

    def read(self, patience: Patience) -> Iterator[bytes]:
        """Yield all pieces, in order.

        Raises:
            KaonError: as the server tells it. Unavailable: it does not answer for so long. Conflict: the content was replaced.
        """
        return patience.stream(self._stream, complete=self._is_complete)

    def _is_complete(self) -> bool:
        return self._opening is not None and self._offset == self._opening.size

    def _stream(self) -> Iterator[bytes]:
        for part in self._opened(self._offset):
            if isinstance(part, bytes):
                self._offset += len(part)
                yield part
                continue
            if self._opening is not None and part.digest != self._opening.digest:
                raise Conflict(f"{self._told} was replaced while it was read: read it again")
            self._opening = part
