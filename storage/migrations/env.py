"""Run by alembic for each command: works in the transaction that `storage.migrations.migrate` has begun."""

from alembic import context

from storage.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
