"""Signed heads of the audit trails, and the order of the topics for those who compare tables with them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BY_PLACE = ("invoice_lines", "retention_events", "approval_requests", "audit_entries")


def upgrade() -> None:
    """Create the table and the indexes."""
    op.create_table(
        "audit_anchors",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("positions", sa.Text(), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_anchors")),
    )
    for table in _BY_PLACE:
        columns = ["record_partition", "record_offset"]
        op.create_index(f"ix_{table}_record_partition_record_offset", table, columns)


def downgrade() -> None:
    """Drop them."""
    for table in _BY_PLACE:
        op.drop_index(f"ix_{table}_record_partition_record_offset", table)
    op.drop_table("audit_anchors")
