"""The artifacts that the rows of each tenant name: those from before there were grants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, text

from kaon_wire import canonical
from kaon_wire.artifact_references import digests, outputs_of
from kaonapi.schedule.v1 import schedule_pb2
from kaonapi.workflow.v1 import definition_pb2

_PAGE = 1_000
_RUNS = "SELECT tenant, params FROM runs WHERE params LIKE '%artifact%'"
_GIVEN = (
    "SELECT runs.tenant, {0}.data FROM {0} JOIN runs ON runs.run_id = {0}.run_id "
    "WHERE {0}.data LIKE '%artifact%'"
)
_MEMOS = "SELECT tenant, outputs FROM memos WHERE outputs LIKE '%artifact%'"
_WORKFLOWS = "SELECT tenant, definition FROM workflows"
_SCHEDULES = "SELECT tenant, definition FROM schedules"


def fresh(connection: Connection) -> Iterator[list[dict[str, str]]]:
    """Yield grants, as rows of the table, each once: what runs, steps, blocks, memos, workflows and schedules name."""
    known: set[tuple[str, str]] = set()
    for tenant, found in _named(connection):
        new = {(tenant, digest) for digest in found} - known
        known |= new
        if new:
            yield [{"tenant": each, "digest": digest} for each, digest in sorted(new)]


def _named(connection: Connection) -> Iterator[tuple[str, set[str]]]:
    for tenant, data in _rows(connection, _RUNS):
        yield tenant, digests(canonical.loads(data).values())
    for table in ("steps", "blocks"):
        for tenant, data in _rows(connection, _GIVEN.format(table)):
            yield tenant, outputs_of(data)
    for tenant, data in _rows(connection, _MEMOS):
        yield tenant, digests(canonical.loads(data).values())
    for tenant, data in _rows(connection, _WORKFLOWS):
        definition = definition_pb2.WorkflowDefinition.FromString(bytes(data))
        bundle = definition.code_bundle.removeprefix("sha256:")
        yield tenant, {bundle} - {""}
        yield tenant, digests(each.default_json for each in definition.parameters)
    for tenant, data in _rows(connection, _SCHEDULES):
        schedule = schedule_pb2.Schedule.FromString(bytes(data))
        yield tenant, digests(schedule.params_json.values())


def _rows(connection: Connection, query: str) -> Iterator[Any]:
    """Yield rows page by page: memory is bounded."""
    result = connection.execute(text(query), execution_options={"yield_per": _PAGE})
    for rows in result.partitions():
        yield from rows
