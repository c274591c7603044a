"""The terminal of a person. What others have written cannot control it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Control characters but newline and tab, and those that turn the direction of writing or are not seen.
_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)


def shown(text: str) -> str:
    """Return a text with the characters that would control a terminal, or deceive its reader, as escapes."""
    return _HOSTILE.sub(_escape, text)


class Screen(Console):
    """A console of rich that shows such characters as escapes. Its own colours and cursor movements pass."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of a renderable, without what would control the terminal."""
        for segment in super().render(renderable, options):
            if segment.control or not _HOSTILE.search(segment.text):
                yield segment
            else:
                yield Segment(shown(segment.text), segment.style)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
