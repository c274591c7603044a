"""The migrations of the coordinator's tables."""

from __future__ import annotations

from pathlib import Path

from kaon_service.migrations import Migrations

MIGRATIONS = Migrations(
    scripts=Path(__file__).with_name("migrations"),
    head="0007",
    lock=5_262_030,
)
