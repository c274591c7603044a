"""What can be wrong with an expression, and with one evaluation of it."""

from __future__ import annotations

from kaon_wire.errors import KaonError


class CelError(KaonError):
    """An expression is wrong, or has no value for the given variables."""


class TooCostly(KaonError):
    """An evaluation has used up its budget. No operator absorbs this error."""
