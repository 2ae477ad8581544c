"""The first tables: drops, audit events, snapshots."""

import sqlalchemy as sa
from alembic import op

from reco.storage.sql import SCHEMA, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _counts() -> list[sa.Column[int]]:
    names = ("read", "accepted", "excluded", "quarantined", "header", "blank", "duplicate")
    return [sa.Column(f"lines_{name}", sa.BigInteger) for name in names]


def upgrade() -> None:
    op.create_table(
        "drops",
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
        *_counts(),
        sa.Column("reasons", sa.JSON),
        sa.PrimaryKeyConstraint("key", name="pk_drops"),
        sa.UniqueConstraint("sha256", name="uq_drops_sha256"),
        schema=SCHEMA,
    )
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("drop_key", sa.Text),
        sa.Column("snapshot_id", sa.Text),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        schema=SCHEMA,
    )
    op.create_table(
        "snapshots",
        sa.Column("snapshot_id", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("inputs_digest", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("published_at", UtcDateTime, nullable=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("orders", "items", "pairs", "redis_keys", "redis_bytes")
        ),
        sa.Column("forced", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("snapshot_id", name="pk_snapshots"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for table in ("snapshots", "audit_events", "drops"):
        op.drop_table(table, schema=SCHEMA)
