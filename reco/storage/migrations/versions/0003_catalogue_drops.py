"""The ledger of catalogue drops: which item files came, and what became of their lines."""

import sqlalchemy as sa
from alembic import op

from reco.storage.sql import SCHEMA, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogue_drops",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("profile", sa.JSON, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("batch", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error_code", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("ingested_at", UtcDateTime),
        sa.Column("run_id", sa.Text),
        sa.Column("encoding", sa.Text),
        sa.Column("dialect", sa.JSON),
        sa.Column("header", sa.JSON),
        sa.Column("mapping", sa.JSON),
        sa.Column("lines_read", sa.BigInteger),
        sa.Column("lines_accepted", sa.BigInteger),
        sa.Column("lines_excluded", sa.BigInteger),
        sa.Column("lines_quarantined", sa.BigInteger),
        sa.Column("lines_header", sa.BigInteger),
        sa.Column("lines_blank", sa.BigInteger),
        sa.Column("lines_duplicate", sa.BigInteger),
        sa.Column("reasons", sa.JSON),
        sa.PrimaryKeyConstraint("key", name="pk_catalogue_drops"),
        sa.UniqueConstraint("sha256", name="uq_catalogue_drops_sha256"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("catalogue_drops", schema=SCHEMA)
