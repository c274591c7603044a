"""Regular expressions in RE2's syntax: a search takes time that is linear in the text, whatever the expression."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kaon_wire.errors import InvalidValue

# Bytes of a compiled expression.
_MEMORY = 1 << 20


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """Return a compiled expression.

    Raises:
        InvalidValue: It is wrong, or too large; the message says why.
    """
    # It costs 20 ms, and few have a pattern.
    import re2

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise InvalidValue(f"the pattern {pattern[:80]!r} is wrong: {reason}") from None
