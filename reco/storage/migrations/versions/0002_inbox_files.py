"""The files of the inbox that were taken in: so that no look into the inbox reads a known file again."""

import sqlalchemy as sa
from alembic import op

from reco.storage.sql import SCHEMA, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox_files",
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("drop_key", sa.Text),
        sa.Column("looked_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_inbox_files"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("inbox_files", schema=SCHEMA)
