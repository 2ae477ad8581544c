"""The audit trail as a chain of hashes that the database refuses to change, and the drops behind each snapshot."""

import datetime as dt
import hashlib
import json

import sqlalchemy as sa
from alembic import op

from reco.storage.append_only import append_only
from reco.storage.sql import SCHEMA, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_FIRST = "0" * 64


def _events(*chain: sa.Column[str]) -> list[sa.Column]:  # type: ignore[type-arg]  # columns of several types
    return [
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("drop_key", sa.Text),
        sa.Column("snapshot_id", sa.Text),
        sa.Column("details", sa.JSON, nullable=False),
        *chain,
    ]


def upgrade() -> None:
    connection = op.get_bind()
    old = sa.Table("audit_events", sa.MetaData(), *_events(), schema=SCHEMA)
    rows = [row._asdict() for row in connection.execute(sa.select(old).order_by(old.c.id))]
    op.drop_table("audit_events", schema=SCHEMA)
    new = op.create_table(
        "audit_events",
        *_events(
            sa.Column("previous_hash", sa.Text, nullable=False),
            sa.Column("hash", sa.Text, nullable=False),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        schema=SCHEMA,
    )
    previous = _FIRST
    for row in rows:
        row["details"] = _without_content(row["event"], row["details"])
        row["previous_hash"], row["hash"] = previous, _hash(previous, row)
        previous = row["hash"]
    if rows:
        connection.execute(sa.insert(new), rows)
    op.create_table(
        "drop_sets",
        sa.Column("set_digest", sa.Text, nullable=False),
        sa.Column("drop_key", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("batch", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("set_digest", "drop_key", name="pk_drop_sets"),
        schema=SCHEMA,
    )
    sqlite = connection.dialect.name == "sqlite"
    if rows and not sqlite:
        place = f"{SCHEMA}.audit_events"
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence(:place, 'id'), :last)"),
            {"place": place, "last": rows[-1]["id"]},
        )
    for table, key in (("audit_events", ["id"]), ("drop_sets", ["set_digest", "drop_key"])):
        append_only(connection, table, None if sqlite else SCHEMA, key)


_CONTENT = {"orders_replaced": "first", "drop_failed": "error"}
"""What events of older versions held of the files themselves: order ids, and messages that may quote a line."""


def _without_content(event: str, details: dict[str, object]) -> dict[str, object]:
    """Details that may be sealed for good: an order id can be made of a customer's, and a line can name one."""
    dropped = _CONTENT.get(event)
    return (
        details if dropped not in details else {k: v for k, v in details.items() if k != dropped} | {"removed": dropped}
    )


def _hash(previous: str, row: dict[str, object]) -> str:
    """As `reco.audit.chain` hashed rows when this migration was written; that must never change for rows that stand."""
    at = row["at"]
    assert isinstance(at, dt.datetime)
    content = {
        "at": at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        **{name: row[name] for name in ("event", "run_id", "drop_key", "snapshot_id", "details")},
    }
    return hashlib.sha256((previous + json.dumps(content, sort_keys=True, separators=(",", ":"))).encode()).hexdigest()


def downgrade() -> None:
    connection = op.get_bind()
    chained = sa.Table("audit_events", sa.MetaData(), *_events(), schema=SCHEMA)
    rows = [row._asdict() for row in connection.execute(sa.select(chained).order_by(chained.c.id))]
    for table in ("drop_sets", "audit_events"):
        op.drop_table(table, schema=SCHEMA)
    if connection.dialect.name != "sqlite":
        op.execute(f"DROP FUNCTION {SCHEMA}.refuse_change()")
    old = op.create_table(
        "audit_events",
        *_events(),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        schema=SCHEMA,
    )
    if rows:
        connection.execute(sa.insert(old), rows)
