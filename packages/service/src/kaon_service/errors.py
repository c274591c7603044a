"""Errors of the dependencies of a service."""

from kaon_wire.errors import Unavailable


class DatabaseUnavailable(Unavailable):
    """The database refuses temporarily. The text quotes it for the log; clients are not told."""


class DatabaseFull(DatabaseUnavailable):
    """The database has no space to write to. Nothing of the transaction is durable."""
