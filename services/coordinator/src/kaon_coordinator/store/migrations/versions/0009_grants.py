"""Artifacts belong to tenants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from kaon_wire import canonical
from kaon_wire.artifact_references import digests, outputs_of
from kaonapi.schedule.v1 import schedule_pb2
from kaonapi.workflow.v1 import definition_pb2

revision = "0009"
down_revision = "0008"

_PAGE = 1_000
_RUNS = "SELECT tenant, params FROM runs WHERE params LIKE '%artifact%'"
_STEPS = (
    "SELECT runs.tenant, {0}.data FROM {0} JOIN runs ON runs.run_id = {0}.run_id "
    "WHERE {0}.data LIKE '%artifact%'"
)
_MEMOS = "SELECT tenant, outputs FROM memos WHERE outputs LIKE '%artifact%'"
_WORKFLOWS = "SELECT tenant, definition FROM workflows"
_SCHEDULES = "SELECT tenant, definition FROM schedules"


def upgrade() -> None:
    """Create the table; what rows of a tenant refer to is granted to it."""
    table = op.create_table(
        "grants",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("tenant", "digest")),
        sa.PrimaryKeyConstraint("tenant", "digest", name="grants_pkey"),
    )
    known: set[tuple[str, str]] = set()
    for tenant, found in _named():
        fresh = {(tenant, digest) for digest in found} - known
        if fresh:
            op.bulk_insert(table, [{"tenant": a, "digest": b} for a, b in sorted(fresh)])
            known |= fresh


def _named() -> Iterator[tuple[str, set[str]]]:
    for tenant, data in _rows(_RUNS):
        yield tenant, digests(canonical.loads(data).values())
    for table in ("steps", "blocks"):
        for tenant, data in _rows(_STEPS.format(table)):
            yield tenant, outputs_of(data)
    for tenant, data in _rows(_MEMOS):
        yield tenant, digests(canonical.loads(data).values())
    for tenant, data in _rows(_WORKFLOWS):
        definition = definition_pb2.WorkflowDefinition.FromString(bytes(data))
        bundle = definition.code_bundle.removeprefix("sha256:")
        yield tenant, {bundle} - {""}
        yield tenant, digests(each.default_json for each in definition.parameters)
    for tenant, data in _rows(_SCHEDULES):
        schedule = schedule_pb2.Schedule.FromString(bytes(data))
        yield tenant, digests(schedule.params_json.values())


def _rows(query: str) -> Iterator[Any]:
    """Yield rows page by page: memory is bounded."""
    result = op.get_bind().execute(sa.text(query), execution_options={"yield_per": _PAGE})
    for rows in result.partitions():
        yield from rows
