"""Pages and counts of very many runs.

A page is read along indexes that have its order. What no index knows (texts, parameters) is looked for in windows: so many runs at
a time, until the page is full or its time is over. Then the page says where to go on.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal_column, select, tuple_

from kaon_coordinator.store import run_filters
from kaon_coordinator.store.records import RunPage
from kaon_coordinator.store.run_sql import run_record
from kaon_coordinator.store.tables import run_labels, runs
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import run_pb2
from kaonapi.view.v1 import runs_pb2

# Runs that one query looks at when no index knows which of them are wanted.
WINDOW_RUNS = 20_000
# After this a page is given as it is.
SECONDS = 0.2
# Streams that are merged; more of them are read as one, and filtered.
_MOST_STREAMS = 24

_Place: TypeAlias = tuple[int, str]
_STATUSES = sorted(set(run_pb2.Status.values()) - {run_pb2.STATUS_UNSPECIFIED})


@dataclass(frozen=True, kw_only=True)
class _Order:
    """An order of runs. Those of equal value are ordered by their ids."""

    value: ColumnElement[Any]
    descending: bool
    ended: bool = False


_TOOK = runs.c.end_us - runs.c.start_us
_ORDERS = {
    runs_pb2.RUN_ORDER_UNSPECIFIED: _Order(value=runs.c.create_us, descending=True),
    runs_pb2.RUN_ORDER_NEWEST: _Order(value=runs.c.create_us, descending=True),
    runs_pb2.RUN_ORDER_OLDEST: _Order(value=runs.c.create_us, descending=False),
    runs_pb2.RUN_ORDER_ENDED_LAST: _Order(value=runs.c.end_us, descending=True, ended=True),
    runs_pb2.RUN_ORDER_ENDED_FIRST: _Order(value=runs.c.end_us, descending=False, ended=True),
    runs_pb2.RUN_ORDER_LONGEST: _Order(value=_TOOK, descending=True, ended=True),
    runs_pb2.RUN_ORDER_SHORTEST: _Order(value=_TOOK, descending=False, ended=True),
}


@dataclass(frozen=True, kw_only=True)
class _Stream:
    """Runs that an index gives in order, and what else is asked of them."""

    value: ColumnElement[Any]
    run_id: ColumnElement[str]
    indexed: Sequence[ColumnElement[bool]]
    others: Sequence[ColumnElement[bool]]
    descending: bool
    # The value and the id are those of the run's labels.
    by_label: bool = False

    def after(self, place: _Place | None) -> list[ColumnElement[bool]]:
        """Return what comes after a place."""
        if place is None:
            return []
        own = tuple_(self.value, self.run_id)
        return [own < tuple_(*place) if self.descending else own > tuple_(*place)]

    def until(self, place: _Place) -> ColumnElement[bool]:
        """Return what comes before a place, or is there."""
        own = tuple_(self.value, self.run_id)
        return own >= tuple_(*place) if self.descending else own <= tuple_(*place)

    def ordered(self, query: Select[Any]) -> Select[Any]:
        """Return the query in the order of the stream."""
        if self.descending:
            return query.order_by(self.value.desc(), self.run_id.desc())
        return query.order_by(self.value, self.run_id)

    def window(self, connection: Connection, place: _Place | None) -> _Place | None:
        """Where a window that begins after a place ends; None when it has all the rest."""
        query = select(self.value, self.run_id).where(*self.indexed, *self.after(place))
        last = connection.execute(self.ordered(query).offset(WINDOW_RUNS - 1).limit(1)).first()
        return None if last is None else (last[0], last[1])

    def read(
        self, connection: Connection, place: _Place | None, size: int
    ) -> tuple[list[tuple[_Place, Row[Any]]], _Place | None]:
        """Return the next runs, and up to where they are all there are; None means to the end."""
        end = self.window(connection, place) if self.others else None
        query = select(runs, self.value.label("place_value"))
        if self.by_label:
            query = query.join(run_labels, run_labels.c.run_id == runs.c.run_id)
        query = query.where(*self.indexed, *self.others, *self.after(place))
        if end is not None:
            query = query.where(self.until(end))
        rows = connection.execute(self.ordered(query).limit(size)).all()
        found: list[tuple[_Place, Row[Any]]] = [
            ((row.place_value, row.run_id), row) for row in rows
        ]
        return found, found[-1][0] if len(found) == size else end


def page(
    connection: Connection,
    tenant: str,
    wish: runs_pb2.RunFilter,
    order: runs_pb2.RunOrder.ValueType,
    size: int,
    token: str,
) -> RunPage:
    """Return some of the runs that a filter selects, in order.

    Raises:
        InvalidValue: the token is of none of the pages of such a query.
    """
    place = _place(token, order) if token else None
    streams = _streams(tenant, wish, _ORDERS[order])
    found: list[tuple[_Place, Row[Any]]] = []
    began = time.monotonic()
    while True:
        more, place = _merged(connection, streams, place, size + 1)
        found += more
        if len(found) > size:
            place = found[size - 1][0]
            break
        if place is None or time.monotonic() - began > SECONDS:
            break
    records = [run_record(row) for _, row in found[:size]]
    return RunPage(runs=records, next_page_token="" if place is None else _token(place, order))


def _merged(
    connection: Connection, streams: Sequence[_Stream], place: _Place | None, size: int
) -> tuple[list[tuple[_Place, Row[Any]]], _Place | None]:
    """Return the next runs of all streams, and up to where they are all there are."""
    parts = [stream.read(connection, place, size) for stream in streams]
    descending = streams[0].descending
    ends = [end for _, end in parts if end is not None]
    end = (max(ends) if descending else min(ends)) if ends else None
    rows = sorted(
        (each for part, _ in parts for each in part), key=lambda each: each[0], reverse=descending
    )
    if end is not None:
        rows = [each for each in rows if (each[0] >= end if descending else each[0] <= end)]
    return rows, end


def _streams(tenant: str, wish: runs_pb2.RunFilter, order: _Order) -> list[_Stream]:
    own = [runs.c.tenant == tenant]
    if order.ended:
        own.append(runs.c.end_us > literal_column("0"))
        return [
            _stream(order, own, [*_named(wish), *_kinds(wish), *run_filters.within(wish)], wish)
        ]
    own += run_filters.within(wish)
    if wish.run_ids or wish.parent_run_id:
        return [_stream(order, [*own, *_named(wish)], _kinds(wish), wish)]
    label = next((each for each in sorted(wish.labels.items()) if each[1]), None)
    if label is not None:
        return [_by_label(tenant, label, wish, order)]
    column, values = (
        (runs.c.workflow, wish.workflows) if wish.workflows else (runs.c.status, wish.statuses)
    )
    if not 0 < len(values) <= _MOST_STREAMS:
        return [_stream(order, own, _kinds(wish), wish)]
    others = [runs.c.status.in_(list(wish.statuses))] if wish.workflows and wish.statuses else []
    return [_stream(order, [*own, column == value], others, wish) for value in sorted(set(values))]  # type: ignore[type-var]


def _stream(
    order: _Order,
    indexed: Sequence[ColumnElement[bool]],
    others: Sequence[ColumnElement[bool]],
    wish: runs_pb2.RunFilter,
) -> _Stream:
    return _Stream(
        value=order.value,
        run_id=runs.c.run_id,
        indexed=indexed,
        others=[*others, *run_filters.rest(wish)],
        descending=order.descending,
    )


def _by_label(
    tenant: str, label: tuple[str, str], wish: runs_pb2.RunFilter, order: _Order
) -> _Stream:
    name, value = label
    return _Stream(
        value=run_labels.c.create_us,
        run_id=run_labels.c.run_id,
        indexed=[
            run_labels.c.tenant == tenant,
            run_labels.c.name == name,
            run_labels.c.value == value,
        ],
        others=[*_kinds(wish), *run_filters.within(wish), *run_filters.rest(wish)],
        descending=order.descending,
        by_label=True,
    )


def _named(wish: runs_pb2.RunFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wish.run_ids:
        found.append(runs.c.run_id.in_(list(wish.run_ids)))
    if wish.parent_run_id:
        # The second says to the databases that the index of children has them.
        found += [
            runs.c.parent_run_id == wish.parent_run_id,
            runs.c.parent_run_id != literal_column("''"),
        ]
    return found


def _kinds(wish: runs_pb2.RunFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wish.workflows:
        found.append(runs.c.workflow.in_(list(wish.workflows)))
    if wish.statuses:
        found.append(runs.c.status.in_(list(wish.statuses)))
    return found


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many runs there are."""

    # When the first bucket begins, and how long each is; 0 when there are none.
    from_us: int
    bucket_us: int
    # By bucket and status.
    counts: dict[tuple[int, int], int]


def count(
    connection: Connection, tenant: str, wish: runs_pb2.RunFilter, buckets: int, now_us: int
) -> Counts:
    """How many runs a filter selects, by when they were submitted and by status."""
    own = [
        runs.c.tenant == tenant,
        *_named(wish),
        *run_filters.within(wish),
        *run_filters.rest(wish),
    ]
    # All of them when none is named: the index of statuses is all that has to be read then.
    own.append(runs.c.status.in_(list(wish.statuses) or _STATUSES))
    if wish.workflows:
        own.append(runs.c.workflow.in_(list(wish.workflows)))
    if not buckets:
        query = (
            select(runs.c.status, func.count().label("number")).where(*own).group_by(runs.c.status)
        )
        counts = {(0, row.status): row.number for row in connection.execute(query)}
        return Counts(from_us=0, bucket_us=0, counts=counts)
    from_us, until_us = _between(connection, tenant, wish, now_us)
    bucket_us = max(-(-(until_us - from_us) // buckets), 1)
    bucket = ((runs.c.create_us - from_us) // bucket_us).label("bucket")
    query = select(bucket, runs.c.status, func.count().label("number")).where(*own)
    rows = connection.execute(query.group_by("bucket", runs.c.status))
    counts = {(row.bucket, row.status): row.number for row in rows}
    return Counts(from_us=from_us, bucket_us=bucket_us, counts=counts)


def _between(
    connection: Connection, tenant: str, wish: runs_pb2.RunFilter, now_us: int
) -> tuple[int, int]:
    until_us = wish.created_until.ToMicroseconds() if wish.HasField("created_until") else now_us + 1
    if wish.HasField("created_from"):
        return wish.created_from.ToMicroseconds(), until_us
    oldest = connection.execute(
        select(func.min(runs.c.create_us)).where(runs.c.tenant == tenant)
    ).scalar()
    return oldest or now_us, until_us


def _token(place: _Place, order: int) -> str:
    return base64.urlsafe_b64encode(f"{order}:{place[0]}:{place[1]}".encode()).decode()


def _place(token: str, order: int) -> _Place:
    try:
        made_for, value, run_id = base64.urlsafe_b64decode(token.encode()).decode().split(":", 2)
        if int(made_for) == order:
            return int(value), run_id
    except (binascii.Error, ValueError):
        pass
    raise InvalidValue(
        f"page token {token[:80]!r}: use the next_page_token of an answer as it is, with the same order"
    )
