"""What was said about engagements, contracts included, and what the ERP answered."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Frozen here: a migration never follows what the tables become later.
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Create both tables; the ledger fills them from the topics' beginning."""
    op.create_table(
        "engagement_events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("engagement_id", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("evidence", _JSON, nullable=False),
        *_place("engagement_events"),
    )
    op.create_index("ix_engagement_events_engagement_id", "engagement_events", ["engagement_id"])
    op.create_table(
        "invoice_acknowledgements",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("engagement_id", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("document_number", sa.Text(), nullable=True),
        sa.Column("document_date", sa.Date(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        *_place("invoice_acknowledgements"),
    )
    op.create_index("ix_invoice_acknowledgements_engagement_id", "invoice_acknowledgements", ["engagement_id"])
    op.create_index("ix_invoice_acknowledgements_line_id", "invoice_acknowledgements", ["line_id"])


def downgrade() -> None:
    """Drop both; the topics still hold everything."""
    op.drop_table("invoice_acknowledgements")
    op.drop_table("engagement_events")


def _place(table: str) -> tuple[sa.Column[int], sa.Column[int], sa.Column[str], sa.PrimaryKeyConstraint]:
    return (
        sa.Column("record_partition", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("record_partition", "record_offset", name=op.f(f"pk_{table}")),
    )
