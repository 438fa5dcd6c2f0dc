"""What was said in disputes, so that whoever reads a line sees which are open and what can be done with them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_INDEX = "ix_audit_entries_disputes"


def upgrade() -> None:
    """Create the table, which the ledger fills from the topic's beginning, and an index to what became of them."""
    op.create_table(
        "dispute_events",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("event_id", "source", "engagement_id")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("dispute_id", "line_id", "kind")),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("evidence", _JSON, nullable=False),
        sa.Column("record_partition", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("record_partition", "record_offset", name="pk_dispute_events"),
    )
    op.create_index("ix_dispute_events_line_id", "dispute_events", ["line_id"])
    only = sa.text("input_topic = 'dispute-events'")
    op.create_index(
        _INDEX, "audit_entries", ["input_partition", "input_offset"], sqlite_where=only, postgresql_where=only
    )


def downgrade() -> None:
    """Drop both; the topic still holds everything."""
    op.drop_index(_INDEX, "audit_entries")
    op.drop_table("dispute_events")
