"""Receives content that arrives in pieces and must have the announced digest."""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import IO

from kaon_wire.errors import InvalidValue

DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Receiving:
    """Writes pieces to a file, and checks them.

    Args:
        target: where they go.
        what: how errors name the content, such as "the bundle".
        most: bytes that are accepted.
        advice: what to do when there are more.
    """

    def __init__(self, target: IO[bytes], what: str, most: int, advice: str) -> None:
        self._target, self._what, self._most, self._advice = target, what, most, advice
        self._hasher = hashlib.sha256()
        self.size = 0

    async def add(self, data: bytes) -> None:
        """Write one piece.

        Raises:
            InvalidValue: There are too many bytes.
        """
        self.size += len(data)
        if self.size > self._most:
            raise InvalidValue(f"{self._what} is larger than {self._most} bytes: {self._advice}")
        self._hasher.update(data)
        await asyncio.to_thread(self._target.write, data)

    def checked(self, named: str) -> str:
        """Return the digest of what was received, which must be the named one.

        Raises:
            InvalidValue: Nothing was announced, or the content has another digest.
        """
        if not named:
            raise InvalidValue("the upload is empty: the first message must name the digest")
        found = f"sha256:{self._hasher.hexdigest()}"
        if found != named:
            raise InvalidValue(
                f"the data has digest {found}, not {named}: the transfer truncated or changed it"
            )
        return found


def check_digest(named: str) -> None:
    """Check the form of an announced digest.

    Raises:
        InvalidValue: It has another form.
    """
    if not DIGEST.match(named):
        raise InvalidValue(
            f"digest {named[:80]!r}: the first message must name sha256:<64 hex digits>"
        )
