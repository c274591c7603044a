"""Submit strategies: reads the other runs of a workflow, and cancels those that give way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError
from sqlalchemy import ColumnElement, Connection, Select, select, tuple_

from kaon_coordinator.engine.scopes.run_permits import STRATEGY
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import workflow_sql
from kaon_coordinator.store.records import Message
from kaon_coordinator.store.strategies import (
    NAMES,
    Contender,
    Field,
    Refusal,
    Standing,
    Turn,
    Wait,
    cancel_reason,
    circle,
    deadlock,
    standing,
    to_cancel,
)
from kaon_coordinator.store.submission_sql import Submissions
from kaon_coordinator.store.tables import inbox, permit_holds, runs
from kaonapi.run.v1 import command_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

_OPEN = tuple(int(status) for status in (t.PENDING, t.RUNNING, t.PAUSED, t.CANCELLING))
_COUNTING = tuple(int(status) for status in (t.SUCCEEDED, t.FAILED, t.TIMED_OUT))
_COLUMNS = (runs.c.run_id, runs.c.create_us, runs.c.status, runs.c.start_us)


def contender(connection: Connection, run_id: str) -> Contender | None:
    """Return a run, if it exists."""
    row = connection.execute(select(*_COLUMNS).where(runs.c.run_id == run_id)).first()
    return None if row is None else _contender(row)


def field_of(
    connection: Connection, tenant: str, me: Contender, turn: Turn, holders: Sequence[str]
) -> Field:
    """Return the other runs of the workflow; `holders` are the runs that hold the permit of the strategy."""
    mine = (runs.c.tenant == tenant, runs.c.workflow == turn.workflow)
    others = select(*_COLUMNS).where(*mine, runs.c.status.in_(_OPEN), runs.c.run_id != me.run_id)
    order = (runs.c.create_us, runs.c.run_id)
    around = ancestors(connection, me.run_id)
    strict = turn.strategy == d.SUBMIT_STRATEGY_STRICT_SEQUENTIAL
    return Field(
        begun=tuple(map(_contender, connection.execute(others.where(runs.c.start_us > 0)))),
        first=_first(connection, others.order_by(*order)),
        last=_first(connection, others.order_by(*(column.desc() for column in order))),
        holder=next((run_id for run_id in holders if run_id != me.run_id), ""),
        ended_before=_ended_before(connection, mine, me) if strict else None,
        ancestor=next((run_id for run_id, name in around.items() if name == turn.workflow), ""),
    )


def standing_of(connection: Connection, tenant: str, run_id: str, turn: Turn) -> Standing:
    """Return what the strategy says about a run, for people."""
    me = contender(connection, run_id)
    if me is None:
        return None
    held = (permit_holds.c.tenant == tenant, permit_holds.c.key == f"{STRATEGY}{turn.workflow}")
    holders = connection.execute(select(permit_holds.c.run_id).where(*held)).scalars().all()
    return standing(me, turn, field_of(connection, tenant, me, turn, holders))


def refusal_in_circle(
    connection: Connection, tenant: str, me: Contender, turn: Turn, blocking: str
) -> Refusal | None:
    """Return why a run may not wait for `blocking`, which waits for it or for a run around it.

    Of several runs that close one circle, the one that was submitted last is refused.
    """
    around = ancestors(connection, me.run_id)
    if not around:
        return None
    found = circle(blocking, {me.run_id, *around}, partial(_waits_for, connection, tenant))
    children = select(*_COLUMNS).where(
        runs.c.run_id.in_(found), runs.c.parent_run_id != "", runs.c.status == int(t.PENDING)
    )
    others = map(_contender, connection.execute(children))
    if not found or any(other.place > me.place for other in others):
        return None
    return deadlock(turn, found)


def _waits_for(connection: Connection, tenant: str, run_id: str) -> list[str]:
    """Return the runs for which a run waits: a PENDING one for that which its strategy names, another one for its children."""
    columns = (runs.c.workflow, runs.c.version, runs.c.status, runs.c.start_us)
    row = connection.execute(select(*columns).where(runs.c.run_id == run_id)).first()
    if row is None or row.status not in _OPEN:
        return []
    if row.status != t.PENDING:
        children = select(runs.c.run_id).where(
            runs.c.parent_run_id == run_id, runs.c.status.in_(_OPEN)
        )
        return list(connection.execute(children.order_by(runs.c.run_id)).scalars())
    strategy = workflow_sql.get(connection, tenant, row.workflow, row.version).definition.strategy
    if strategy not in NAMES:
        return []
    turn = Turn(workflow=row.workflow, strategy=strategy, reopened=row.start_us > 0)
    found = standing_of(connection, tenant, run_id, turn)
    return [found.run_id] if isinstance(found, Wait) else []


class GivingWay:
    """Cancels the runs that give way to a later one."""

    def __init__(self, submissions: Submissions) -> None:
        self._submissions = submissions

    def apply(
        self, connection: Connection, me: Contender, turn: Turn, field: Field, now_us: int
    ) -> None:
        """Cancel the earlier runs, unless that was asked for already."""
        told = []
        for run_id in to_cancel(me, turn, field):
            if _is_told(connection, run_id):
                continue
            cancel = command_pb2.RequestRunCancel(reason=cancel_reason(me, turn), requester="kaon")
            command = command_pb2.RunCommand(run_id=run_id, cancel=cancel, requester="kaon")
            told.append(Message(run_id=run_id, command=command, now_us=now_us, sender=me.run_id))
        if told:
            self._submissions.tell(connection, told)


def _contender(row: Any) -> Contender:
    return Contender(
        run_id=row.run_id, create_us=row.create_us, status=row.status, start_us=row.start_us
    )


def _first(connection: Connection, query: Select[Any]) -> Contender | None:
    row = connection.execute(query.limit(1)).first()
    return None if row is None else _contender(row)


def _ended_before(
    connection: Connection, mine: Sequence[ColumnElement[bool]], me: Contender
) -> Contender | None:
    earlier = tuple_(runs.c.create_us, runs.c.run_id) < tuple_(me.create_us, me.run_id)
    query = select(*_COLUMNS).where(*mine, runs.c.status.in_(_COUNTING), earlier)
    return _first(connection, query.order_by(runs.c.create_us.desc(), runs.c.run_id.desc()))


def ancestors(connection: Connection, run_id: str) -> dict[str, str]:
    """Return the workflows of a run's ancestors, by run, the nearest first."""
    found: dict[str, str] = {}
    parent = connection.execute(
        select(runs.c.parent_run_id).where(runs.c.run_id == run_id)
    ).scalar()
    while parent:
        row = connection.execute(
            select(runs.c.workflow, runs.c.parent_run_id).where(runs.c.run_id == parent)
        ).first()
        if row is None:
            break
        found[parent] = row.workflow
        parent = row.parent_run_id
    return found


def _is_told(connection: Connection, run_id: str) -> bool:
    """Tell whether a command to stop the run waits in its inbox."""
    partition = select(runs.c.partition).where(runs.c.run_id == run_id).scalar_subquery()
    waiting = select(inbox.c.command).where(
        inbox.c.partition == partition, inbox.c.run_id == run_id
    )
    return any(_stops(data) for data in connection.execute(waiting).scalars())


def _stops(data: bytes) -> bool:
    try:
        command = command_pb2.RunCommand.FromString(data)
    except DecodeError:
        return False
    return command.HasField("cancel") and not command.cancel.path
