"""Mutexes and semaphores that blocks hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kaon.dsl import checks, names
from kaon.dsl.errors import WorkflowError
from kaon.dsl.source import Source, caller
from kaon.dsl.values import Value
from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(frozen=True, kw_only=True, eq=False)
class Lock:
    """What a block holds from its start to its end; `mutex` and `semaphore` make it."""

    name: str
    # A value when it is known only when the block begins.
    limit: int | Value
    # A value as steps take them; None means that there is only one lock of the name.
    key: Any
    source: Source


def mutex(name: str, /, *, key: Any = None) -> Lock:
    """Make a lock that one block holds at a time, over all runs of the tenant.

        group(load >> train, name="training", locks=[mutex("region", key=region)])

    Args:
        name: its name in the tenant; lower-case letters, digits and hyphens.
        key: which of the locks of this name: a parameter, an item, an output or an expression.

    Raises:
        WorkflowError: the name is not good.
    """
    source = caller()
    return Lock(name=names.check_block_name(name, "lock", source), limit=1, key=key, source=source)


def semaphore(name: str, limit: int | Value, /, *, key: Any = None) -> Lock:
    """Make a lock that at most `limit` blocks hold at a time, over all runs of the tenant; see `mutex`.

    Raises:
        WorkflowError: the name is not good, or the limit is not a whole number of at least 1.
    """
    source = caller()
    if not isinstance(limit, Value):
        checks.whole(limit, f"semaphore {name!r}: its limit", source, d.Lock, "limit", least=1)
    return Lock(
        name=names.check_block_name(name, "lock", source), limit=limit, key=key, source=source
    )


def checked_locks(given: object, what: str, source: Source) -> tuple[Lock, ...]:
    """Return the locks of a block; errors name `what` it is.

    Raises:
        WorkflowError: they are none.
    """
    if given is None:
        return ()
    listed = [given] if isinstance(given, Lock) else given
    if not isinstance(listed, Iterable) or isinstance(listed, str):
        raise _no_locks(given, what, source)
    locks = tuple(listed)
    if not all(isinstance(each, Lock) for each in locks):
        raise _no_locks(given, what, source)
    return tuple(sorted(locks, key=lambda each: each.name))


def _no_locks(given: object, what: str, source: Source) -> WorkflowError:
    return WorkflowError(
        f'{what}: locks is a list such as [mutex("warehouse")], not {given!r}', source
    )
