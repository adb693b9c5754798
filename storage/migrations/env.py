"""Run by alembic for each command: works in the transaction that `storage.migrations.migrate` has begun.

The present tables are not given to it: a step that was written for others must go on to mean what it meant.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
