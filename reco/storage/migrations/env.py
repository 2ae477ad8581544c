"""Alembic's environment: runs the migrations on the connection that `reco.storage.sql.migrate_in` hands over."""

from alembic import context

from reco.storage.sql import VERSION_TABLE, metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    version_table_schema=context.config.attributes["version_schema"],
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
