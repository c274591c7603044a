"""Run by Alembic: brings the database behind one connection up to date, in the transaction that the caller holds."""

from alembic import context

from kaon_coordinator.store.tables import metadata

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"], target_metadata=metadata, version_table=attributes["version_table"]
)
context.run_migrations()
