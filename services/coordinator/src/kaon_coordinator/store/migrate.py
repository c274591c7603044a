"""The migrations of the coordinator's tables."""

from __future__ import annotations

from pathlib import Path

from kaon_coordinator.store.tables import metadata
from kaon_service.migrations import Migrations

_APPEND_ONLY = (
    "CREATE TRIGGER history_no_update BEFORE UPDATE ON history "
    "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END",
    "CREATE TRIGGER history_no_delete BEFORE DELETE ON history "
    "WHEN EXISTS (SELECT 1 FROM runs WHERE runs.run_id = OLD.run_id) "
    "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END",
)
MIGRATIONS = Migrations(
    scripts=Path(__file__).with_name("migrations"),
    head="0015",
    lock=5_262_030,
    tables=metadata,
    sqlite_extras=_APPEND_ONLY,
)
