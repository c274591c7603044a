"""Page tokens of lists with the newest first: the place of the last row of a page."""

from __future__ import annotations

import base64
import binascii

from kaon_wire.errors import InvalidValue


def made(time_us: int, name: str) -> str:
    """Return the token of a page that ends with a row."""
    return base64.urlsafe_b64encode(f"{time_us}:{name}".encode()).decode()


def place(token: str) -> tuple[int, str]:
    """Return the time and the name of the row with which a page ended.

    Raises:
        InvalidValue: The token is none of such a list.
    """
    try:
        time_us, _, name = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        return int(time_us), name
    except (binascii.Error, ValueError) as error:
        raise InvalidValue(
            f"page token {token[:80]!r}: use the next_page_token of an answer as it is"
        ) from error
