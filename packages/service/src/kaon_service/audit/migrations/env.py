"""Run by Alembic: migrates the database behind one connection, in the caller's transaction."""

from alembic import context

from kaon_service.audit.tables import metadata

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=metadata,
    version_table=attributes["version_table"],
)
context.run_migrations()
