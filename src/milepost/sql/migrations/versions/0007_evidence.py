"""Uploaded evidence; requests and links are found by their occurrence, however many an engagement has."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_OCCURRENCE = ["engagement_id", "milestone_id", "occurrence_id"]


def upgrade() -> None:
    """Create the table, and indexes that lead to one occurrence."""
    op.create_table(
        "evidence_uses",
        sa.Column("engagement_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_by", sa.Text(), nullable=False),
        sa.Column("uploaded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("engagement_id", "sha256", name="pk_evidence_uses"),
    )
    op.create_index("ix_evidence_uses_sha256", "evidence_uses", ["sha256"])
    op.drop_index("ix_approval_requests_engagement_id", "approval_requests")
    op.create_index("ix_approval_requests_engagement_id_milestone_id_occurrence_id", "approval_requests", _OCCURRENCE)
    op.drop_index("ix_approval_links_engagement_id_milestone_id", "approval_links")
    op.create_index("ix_approval_links_engagement_id_milestone_id_occurrence_id", "approval_links", _OCCURRENCE)


def downgrade() -> None:
    """Drop the table: files stay where they are, and nobody may read them through the gateway."""
    op.drop_index("ix_approval_links_engagement_id_milestone_id_occurrence_id", "approval_links")
    op.create_index("ix_approval_links_engagement_id_milestone_id", "approval_links", _OCCURRENCE[:2])
    op.drop_index("ix_approval_requests_engagement_id_milestone_id_occurrence_id", "approval_requests")
    op.create_index("ix_approval_requests_engagement_id", "approval_requests", _OCCURRENCE[:1])
    op.drop_table("evidence_uses")
