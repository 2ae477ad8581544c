"""Rules about items (what a person took out of every list), and items that the search index could not take."""

import sqlalchemy as sa
from alembic import op

from reco.storage.sql import SCHEMA, UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "item_rules",
        sa.Column("rule_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("removed_at", UtcDateTime),
        sa.Column("removed_by", sa.Text),
        sa.PrimaryKeyConstraint("rule_id", name="pk_item_rules"),
        schema=SCHEMA,
    )
    op.create_table(
        "search_failures",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("item_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("first_failed_at", UtcDateTime, nullable=False),
        sa.Column("last_failed_at", UtcDateTime, nullable=False),
        sa.Column("next_attempt_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "item_id", name="pk_search_failures"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("search_failures", schema=SCHEMA)
    op.drop_table("item_rules", schema=SCHEMA)
