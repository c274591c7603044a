"""Incoming runs and commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, Select, insert, select, tuple_

from kaon_coordinator.engine.rows.rows import RunRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import run_sql
from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.records import InboxRow, KeysTaken, Message, NewRun, RunRecord
from kaon_coordinator.store.tables import inbox, run_labels, runs
from kaon_service.databases import Database
from kaon_wire import canonical
from kaon_wire.errors import Conflict
from kaonapi.run.v1 import command_pb2, run_pb2

_Key: TypeAlias = tuple[str, str, str]
# Commands that are valid for a run that has ended.
REOPENING = frozenset({"retry", "restart", "mark"})
_INBOX_COLUMNS = ("partition", "run_id", "command", "create_us")


class Submissions:
    """Stores submissions and commands."""

    def __init__(self, database: Database) -> None:
        columns = [column.name for column in runs.columns]
        new_run = database.insert(runs).on_conflict_do_nothing(
            index_elements=["tenant", "workflow", "idempotency_key"]
        )
        self._new_run = Bulk(database, new_run, columns)
        labels = [column.name for column in run_labels.columns]
        self._new_label = Bulk(database, insert(run_labels).values(dict.fromkeys(labels)), labels)
        new_command = insert(inbox).values(dict.fromkeys(_INBOX_COLUMNS))
        self._new_command = Bulk(database, new_command, _INBOX_COLUMNS)
        self._new_start = insert(inbox).returning(inbox.c.inbox_id, sort_by_parameter_order=True)

    def submit(
        self, connection: Connection, new: Sequence[NewRun]
    ) -> list[tuple[RunRecord, bool] | Conflict]:
        """Store runs with their start commands; the unique constraint decides which one came first."""
        # In a global order: two transactions that wait for each other's keys would deadlock.
        rows = [_row(run) for run in sorted(new, key=_key)]
        self._new_run.execute(connection, rows)
        first = _first_of_keys(connection, {_key(run) for run in new if run.idempotency_key})
        created = [
            run for run in new if not run.idempotency_key or first[_key(run)].run_id == run.run_id
        ]
        starts = self._start(connection, created)
        self._new_label.execute(connection, [row for run in created for row in _label_rows(run)])
        return [
            (fresh_record(run, starts[run.run_id]), True)
            if run.run_id in starts
            else _known(run, first[_key(run)])
            for run in new
        ]

    def begin(self, connection: Connection, new: Sequence[NewRun]) -> None:
        """Store runs that begin in this transaction, without start commands.

        Raises:
            KeysTaken: Earlier runs have the keys of some.
        """
        ordered = sorted(new, key=_key)
        if self._new_run.execute(connection, [_row(run) for run in ordered]) != len(ordered):
            first = _first_of_keys(connection, {_key(run) for run in new if run.idempotency_key})
            raise KeysTaken(
                {
                    run.run_id
                    for run in new
                    if run.idempotency_key and first[_key(run)].run_id != run.run_id
                }
            )
        self._new_label.execute(connection, [row for run in new for row in _label_rows(run)])

    def _start(self, connection: Connection, created: Sequence[NewRun]) -> dict[str, InboxRow]:
        """Store the start commands of new runs, and return them by run: the run's owner need not read them."""
        if not created:
            return {}
        commands = [
            command_pb2.RunCommand(run_id=run.run_id, start=start_of(run)) for run in created
        ]
        rows = [
            {
                "partition": run.partition,
                "run_id": run.run_id,
                "command": command.SerializeToString(deterministic=True),
                "create_us": run.now_us,
            }
            for run, command in zip(created, commands, strict=True)
        ]
        ids = connection.execute(self._new_start, rows).scalars()
        return {
            run.run_id: InboxRow(
                inbox_id=inbox_id,
                partition=run.partition,
                run_id=run.run_id,
                command=command,
                create_us=run.now_us,
            )
            for run, command, inbox_id in zip(created, commands, ids, strict=True)
        }

    def add_command(
        self,
        connection: Connection,
        tenant: str,
        run_id: str,
        command: command_pb2.RunCommand,
        now_us: int,
    ) -> RunRecord:
        """Store a command unless the run has ended and the command cannot reopen it."""
        # The run is not deleted until this is written.
        connection.execute(_present(run_id))
        run = run_sql.get_run(connection, tenant, run_id)
        if run.row.status not in t.TERMINAL or command.WhichOneof("command") in REOPENING:
            data = command.SerializeToString(deterministic=True)
            self._new_command.execute(connection, [(run.partition, run_id, data, now_us)])
        return run

    def tell(self, connection: Connection, messages: Sequence[Message]) -> None:
        """Store commands for runs in their partitions; drop those for runs that do not exist."""
        wanted = {message.run_id for message in messages}
        query = select(runs.c.run_id, runs.c.partition).where(runs.c.run_id.in_(sorted(wanted)))
        places = {row.run_id: row.partition for row in connection.execute(query)}
        self._new_command.execute(
            connection,
            [
                (
                    places[message.run_id],
                    message.run_id,
                    message.command.SerializeToString(deterministic=True),
                    message.now_us,
                )
                for message in messages
                if message.run_id in places
            ],
        )


def _present(run_id: str) -> Select[Any]:
    """Keep a run from being deleted by another transaction, without blocking its owner."""
    query = select(runs.c.run_id).where(runs.c.run_id == run_id)
    return query.with_for_update(read=True, key_share=True)


def _key(run: NewRun) -> _Key:
    return run.tenant, run.workflow, run.idempotency_key


def _first_of_keys(connection: Connection, keys: set[_Key]) -> dict[_Key, Row[Any]]:
    if not keys:
        return {}
    columns = tuple_(runs.c.tenant, runs.c.workflow, runs.c.idempotency_key)
    rows = connection.execute(select(runs).where(columns.in_(sorted(keys))))
    return {(row.tenant, row.workflow, row.idempotency_key): row for row in rows}


def _known(run: NewRun, first: Row[Any]) -> tuple[RunRecord, bool] | Conflict:
    """Return the answer to a submission whose key belongs to an earlier one."""
    if first.payload_digest == _payload_digest(run):
        return run_sql.run_record(first), False
    return Conflict(
        f"idempotency key {run.idempotency_key!r} was used for run {first.run_id} of workflow {run.workflow!r} "
        "with another version or other parameters; use a new key for a new run"
    )


def _payload_digest(run: NewRun) -> str:
    # What is computed may be another value each time, such as one with the run's id.
    given = {name: text for name, text in run.params.items() if name not in run.computed}
    payload: list[Any] = [run.workflow, run.version, given]
    if run.fork_run_id:
        failed = [run.fork_failed] if run.fork_failed else []
        payload.append([run.fork_run_id, run.fork_seq, list(run.fork_reset), *failed])
    if run.only or run.until:
        payload.append({"only": list(run.only), "until": list(run.until)})
    return canonical.digest_bytes(canonical.dumps(payload).encode())


def start_of(run: NewRun) -> command_pb2.StartRun:
    """Return what the start command of a submission has beside the run's row."""
    start = command_pb2.StartRun(
        reset=run.fork_reset,
        failed=run.fork_failed,
        trace_parent=run.trace_parent,
        scheduled_time_us=run.scheduled_us,
        previous_success=run.previous,
    )
    if run.only or run.until:
        start.targets.CopyFrom(run_pb2.RunTargets(only=run.only, until=run.until))
    return start


def fresh_record(run: NewRun, start: InboxRow | None = None) -> RunRecord:
    """Return the record of a new submission, with its start command."""
    return RunRecord(
        tenant=run.tenant,
        workflow=run.workflow,
        version=run.version,
        partition=run.partition,
        params=dict(run.params),
        submitter=run.submitter,
        create_us=run.now_us,
        row=fresh_row(run),
        published_seq=0,
        parent_run_id=run.parent_run_id,
        parent_path=run.parent_path,
        depth=run.depth,
        fork_run_id=run.fork_run_id,
        fork_seq=run.fork_seq,
        origin=run.origin,
        labels=dict(run.labels),
        start=start,
    )


def fresh_row(run: NewRun) -> RunRow:
    """Return the row of a run that has not begun."""
    return RunRow(
        run_id=run.run_id,
        status=t.PENDING,
        seq=0,
        start_us=0,
        end_us=0,
        error="",
        cancel_requested=False,
        steps_total=0,
        steps_succeeded=0,
        priority=run.priority,
    )


def _label_rows(run: NewRun) -> list[tuple[Any, ...]]:
    return [(run.run_id, name, value, run.tenant, run.now_us) for name, value in run.labels.items()]


def _row(run: NewRun) -> tuple[Any, ...]:
    values = {
        "run_id": run.run_id,
        "tenant": run.tenant,
        "workflow": run.workflow,
        "version": run.version,
        "partition": run.partition,
        "params": canonical.dumps(dict(run.params)),
        "submitter": run.submitter,
        "idempotency_key": run.idempotency_key or None,
        "payload_digest": _payload_digest(run),
        "create_us": run.now_us,
        "status": int(t.PENDING),
        "seq": 0,
        "published_seq": 0,
        "start_us": 0,
        "end_us": 0,
        "error": "",
        "cancel_requested": 0,
        "steps_total": 0,
        "steps_succeeded": 0,
        "open": 1,
        "priority": run.priority,
        "parent_run_id": run.parent_run_id,
        "parent_path": run.parent_path,
        "depth": run.depth,
        "fork_run_id": run.fork_run_id,
        "fork_seq": run.fork_seq,
        "origin": run.origin,
        "outputs": "",
        "data": "",
        "labels": canonical.dumps(dict(run.labels)) if run.labels else "",
    }
    return tuple(values[column.name] for column in runs.columns)
