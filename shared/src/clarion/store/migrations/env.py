"""Alembic's entry: migrates over the connection that `clarion.store.migrate` gives it."""

from alembic import context

from clarion.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a table by copying it
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
