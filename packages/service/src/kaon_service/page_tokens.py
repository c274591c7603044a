"""Pages of lists: the token of a page is the place of the last row of the one before."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kaon_wire.errors import InvalidValue

T = TypeVar("T")

# Rows of a page at most, and of those that ask for no size.
LARGEST_PAGE = 1_000
# Beyond what a database keeps as an integer.
_END = 2**63


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
        found = int(time_us)
        if not -1 <= found < _END:
            raise ValueError(time_us)
        return found, name
    except (binascii.Error, ValueError) as error:
        raise InvalidValue(
            f"page token {token[:80]!r}: use the next_page_token of an answer as it is"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Window:
    """The part of a list, ordered by name, that a request asks for."""

    # The name with which the page before ended; empty: from the first.
    after: str
    # Rows of a page.
    size: int

    @property
    def limit(self) -> int:
        """Return how many rows to read: one more than the page has tells whether there is another page."""
        return self.size + 1

    def cut(self, rows: Sequence[T], name: Callable[[T], str]) -> tuple[Sequence[T], str]:
        """Return the rows of the page, and the token of the next one; empty at the end."""
        page = rows[: self.size]
        return page, made(0, name(page[-1])) if len(rows) > self.size else ""


def window(page_size: int, page_token: str) -> Window:
    """Return what a request asks for. Bounds of requests have the sizes.

    Raises:
        InvalidValue: The token is none of such a list.
    """
    after = place(page_token)[1] if page_token else ""
    return Window(after=after, size=page_size or LARGEST_PAGE)
