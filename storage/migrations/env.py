"""Run by Alembic, not imported: `storage/migration.py` hands over the connection and ends its transaction."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    version_table=context.config.attributes["version_table"],
    # SQLite cannot alter most of a table; Alembic then recreates it and copies the rows.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
