"""Replays of quarantined lines, and which lines were replayed with success: each at most once."""

import sqlalchemy as sa
from alembic import op

from reco.storage.sql import SCHEMA, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replays",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("drop_key", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("profile", sa.JSON, nullable=False),
        sa.Column("lines_given", sa.BigInteger, nullable=False),
        sa.Column("lines_accepted", sa.BigInteger, nullable=False),
        sa.Column("lines_excluded", sa.BigInteger, nullable=False),
        sa.Column("lines_quarantined", sa.BigInteger, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("lines_digest", sa.Text, nullable=False),
        sa.Column("voided_at", UtcDateTime),
        sa.Column("voided_why", sa.Text),
        sa.PrimaryKeyConstraint("key", name="pk_replays"),
        schema=SCHEMA,
    )
    op.create_table(
        "replayed_lines",
        sa.Column("drop_key", sa.Text, nullable=False),
        sa.Column("line", sa.BigInteger, nullable=False),
        sa.Column("replay_key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("drop_key", "line", name="pk_replayed_lines"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("replayed_lines", schema=SCHEMA)
    op.drop_table("replays", schema=SCHEMA)
