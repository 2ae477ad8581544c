"""API keys that came with a restore and that nobody has confirmed yet."""

import sqlalchemy as sa
from alembic import op

from reco.storage.sql import SCHEMA, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("suspended_at", UtcDateTime), schema=_schema())


def downgrade() -> None:
    op.drop_column("api_keys", "suspended_at", schema=_schema())


def _schema() -> str | None:
    # ALTER TABLE is not translated to SQLite's lack of schemas as the making of a table is.
    return None if op.get_bind().dialect.name == "sqlite" else SCHEMA
