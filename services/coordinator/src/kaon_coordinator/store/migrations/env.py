"""Run by Alembic: brings the database behind one connection up to date, in the transaction that the caller holds."""

from alembic import context

from kaon_coordinator.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
