"""What databases refuse, and whether that passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kaon_wire.errors import Unavailable

# PostgreSQL's classes of errors that lie in what was to be written, though its driver may call them operational: an index cannot
# take so long a value. Whoever tries again gets the same answer.
_DATA_CLASSES = ("22", "23", "54")


def _refuses_the_data(error: Exception) -> bool:
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(state, str) and state.startswith(_DATA_CLASSES)


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turns what a database refuses for the moment into `Unavailable`."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        if _refuses_the_data(error):
            raise
        raise Unavailable(f"the database does not answer ({what}): {error.args[0]}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable(f"the connection to the database broke ({what}): {error.args[0]}") from error
        raise
