"""Codes of gRPC as Connect names them, and the HTTP status that goes with each."""

from __future__ import annotations

from enum import Enum


class Code(Enum):
    """One code: its name on the wire, its number in gRPC, and its HTTP status."""

    CANCELED = ("canceled", 1, 499)
    UNKNOWN = ("unknown", 2, 500)
    INVALID_ARGUMENT = ("invalid_argument", 3, 400)
    DEADLINE_EXCEEDED = ("deadline_exceeded", 4, 504)
    NOT_FOUND = ("not_found", 5, 404)
    ALREADY_EXISTS = ("already_exists", 6, 409)
    PERMISSION_DENIED = ("permission_denied", 7, 403)
    RESOURCE_EXHAUSTED = ("resource_exhausted", 8, 429)
    FAILED_PRECONDITION = ("failed_precondition", 9, 400)
    ABORTED = ("aborted", 10, 409)
    OUT_OF_RANGE = ("out_of_range", 11, 400)
    UNIMPLEMENTED = ("unimplemented", 12, 501)
    INTERNAL = ("internal", 13, 500)
    UNAVAILABLE = ("unavailable", 14, 503)
    DATA_LOSS = ("data_loss", 15, 500)
    UNAUTHENTICATED = ("unauthenticated", 16, 401)

    @property
    def text(self) -> str:
        """Return its name in JSON."""
        return self.value[0]

    @property
    def number(self) -> int:
        """Return its number in gRPC."""
        return self.value[1]

    @property
    def http(self) -> int:
        """Return the HTTP status of a unary call that ends with it."""
        return self.value[2]


_BY_NUMBER = {code.number: code for code in Code}


def code_of(number: int) -> Code:
    """Return the code with this number in gRPC; UNKNOWN for an unknown number."""
    return _BY_NUMBER.get(number, Code.UNKNOWN)
