"""Links that let one person take one decision."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "approval_links",
        sa.Column("link_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("engagement_id", sa.Text(), nullable=False),
        sa.Column("milestone_id", sa.Text(), nullable=False),
        sa.Column("occurrence_id", sa.Text(), nullable=True),
        sa.Column("submission", sa.BigInteger(), nullable=False),
        sa.Column("submission_hash", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("event", sa.Text(), nullable=True),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("link_id", name="pk_approval_links"),
        sa.UniqueConstraint("request_id", "person", name="uq_approval_links_request_id_person"),
    )
    op.create_index("ix_approval_links_engagement_id_milestone_id", "approval_links", ["engagement_id", "milestone_id"])
    unpublished = sa.text("decided_at IS NOT NULL AND published_at IS NULL")
    op.create_index(
        "ix_approval_links_unpublished",
        "approval_links",
        ["decided_at"],
        sqlite_where=unpublished,
        postgresql_where=unpublished,
    )


def downgrade() -> None:
    """Drop it: no link opens any more, and decisions that were not sent yet are lost."""
    op.drop_table("approval_links")
