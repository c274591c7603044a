"""The migrations of the model registry's tables."""

from __future__ import annotations

from pathlib import Path

from kaon_publisher.store.tables import metadata
from kaon_service.migrations import Migrations

MIGRATIONS = Migrations(
    scripts=Path(__file__).with_name("migrations"),
    head="0001",
    lock=5_262_031,
    tables=metadata,
    # The registry may share a database with the coordinator.
    version_table="models_alembic_version",
)
