"""Allow the deletion of history together with its run, and only then."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Replace the triggers: the database still refuses changes of history, and its deletion while the run exists."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER history_no_delete")
        op.execute(
            "CREATE TRIGGER history_no_delete BEFORE DELETE ON history "
            "WHEN EXISTS (SELECT 1 FROM runs WHERE runs.run_id = OLD.run_id) "
            "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END"
        )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION history_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = OLD.run_id) THEN RETURN OLD; END IF; "
        "RAISE EXCEPTION 'history is append-only'; END $$"
    )
