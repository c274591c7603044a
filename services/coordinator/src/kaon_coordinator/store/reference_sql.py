"""The artifacts and code bundles that rows name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, Table, select, text, tuple_
from sqlalchemy.sql.elements import TextClause

from kaon_coordinator.store.records import References
from kaon_coordinator.store.tables import (
    blocks,
    dataset_updates,
    history,
    inbox,
    memos,
    runs,
    schedules,
    steps,
    workflow_names,
    workflows,
)
from kaon_service.databases import Database

Reading = Callable[[], AbstractContextManager[Connection]]

_PAGE = 2_000
# As a digest, or as the end of an artifact's address.
_DIGEST = re.compile(rb"sha256(?::|/[0-9a-f]{2}/)([0-9a-f]{64})")
# A large input: the digests that it names are in the artifact. Its JSON may lie in a text of other JSON.
_LARGE_VALUE = re.compile(
    rb'sha256:([0-9a-f]{64})\\*",\\*"media_type\\*":\\*"application/(?:x-nd)?json\\*"'
)
# In the order in which a name moves between them: a name that left one before it was read is in the next by
# then.
_NAMING: tuple[tuple[Table, tuple[str, ...]], ...] = (
    (dataset_updates, ("outputs",)),
    (schedules, ("definition", "state")),
    (inbox, ("command",)),
    (memos, ("outputs",)),
    (runs, ("version", "params", "outputs", "data")),
    (blocks, ("data",)),
    (steps, ("data",)),
    (history, ("event",)),
)


def collect(reading: Reading, superseded_us: int, *, names: TextClause) -> References:
    """Return everything that rows name, in many short transactions.

    Args:
        reading: Begins a transaction.
        superseded_us: A version that was superseded after this time is still needed: runs of it may be about to start.
        names: A condition on `history`: the event contains a digest.
    """
    digests: set[str] = set()
    values: set[str] = set()
    for table, columns in _NAMING:
        condition = names if table is history else None
        for data in _pages(reading, table, columns, condition):
            note(data, digests, values)
    with reading() as connection:
        current = {tuple(row) for row in connection.execute(select(workflow_names))}
    with reading() as connection:
        query = (
            select(workflows)
            .order_by(workflows.c.create_us.desc())
            .execution_options(yield_per=_PAGE)
        )
        versions = [
            Version(
                name=(row.tenant, row.name),
                version=row.version,
                data=row.definition,
                create_us=row.create_us,
            )
            for row in connection.execute(query)
        ]
    add_versions(versions, current, superseded_us, digests, values)
    return References(digests=frozenset(digests), values=frozenset(values))


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a workflow."""

    # Tenant and name.
    name: tuple[str, str]
    version: str
    # A serialized WorkflowDefinition.
    data: bytes
    create_us: int


def add_versions(
    versions: Iterable[Version],
    current: Collection[tuple[str, ...]],
    superseded_us: int,
    digests: set[str],
    values: set[str],
) -> None:
    """Add the digests of the needed versions, the newest first. A version may name others, whose steps it starts.

    Args:
        versions: All versions of all workflows.
        current: Tenant, name and version of those that an empty version stands for.
        values: The digests found so far that stand for large inputs; changed in place.
        digests: The digests found so far; changed in place.
        superseded_us: Versions that were superseded after this time are needed.
    """
    # The same definition may be registered under many names.
    waiting: dict[str, bytes] = {}
    followed: dict[tuple[str, str], int] = {}
    for each in versions:
        value = each.version.removeprefix("sha256:")
        waiting[value] = each.data
        if (*each.name, each.version) in current or followed.get(
            each.name, superseded_us
        ) >= superseded_us:
            digests.add(value)
        followed[each.name] = each.create_us
    while needed := waiting.keys() & digests:
        for value in needed:
            note(waiting.pop(value), digests, values)


def named(database: Database) -> TextClause:
    """Return the condition on `history` for `collect`: the database omits events without a digest."""
    if database.is_sqlite:
        return text("instr(event, CAST('sha256' AS BLOB)) > 0")
    return text("position(CAST('sha256' AS bytea) IN event) > 0")


def digests_in(data: bytes) -> set[str]:
    """Return the hex digits of every digest in a text."""
    return {match.decode() for match in _DIGEST.findall(data)}


def note(data: bytes, digests: set[str], values: set[str]) -> None:
    """Add the digests in a text, and those among them that stand for large inputs."""
    digests |= digests_in(data)
    values.update(match.decode() for match in _LARGE_VALUE.findall(data))


def _pages(
    reading: Reading, table: Table, columns: Iterable[str], condition: TextClause | None
) -> Iterator[bytes]:
    key = list(table.primary_key.columns)
    wanted = [table.c[name] for name in columns]
    after: tuple[object, ...] | None = None
    while True:
        query = select(*key, *wanted).order_by(*key).limit(_PAGE)
        if after is not None:
            query = query.where(_beyond(key, after))
        if condition is not None:
            query = query.where(condition)
        with reading() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            for value in row[len(key) :]:
                yield value.encode() if isinstance(value, str) else bytes(value)
        if len(rows) < _PAGE:
            return
        after = tuple(rows[-1][: len(key)])


def _beyond(key: list[Column[object]], after: tuple[object, ...]) -> ColumnElement[bool]:
    return key[0] > after[0] if len(key) == 1 else tuple_(*key) > after
