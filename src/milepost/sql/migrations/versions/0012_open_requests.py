"""What waits for signatures is kept by itself: a page of it costs what it shows, not what was ever asked."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_STEP = ("engagement_id", "milestone_id", "occurrence_id", "submission", "step", "role")
FILL = """
    INSERT INTO open_requests
    SELECT engagement_id, milestone_id, coalesce(occurrence_id, ''), submission, step, role, request_id,
           coalesce(due_at, 4611686018427387904), record_offset
    FROM approval_requests AS found
    WHERE kind IN ('REQUESTED', 'REMINDED', 'ESCALATED') AND NOT EXISTS (
        SELECT 1 FROM approval_requests AS later
        WHERE later.engagement_id = found.engagement_id AND later.milestone_id = found.milestone_id
          AND coalesce(later.occurrence_id, '') = coalesce(found.occurrence_id, '')
          AND later.submission = found.submission AND later.step = found.step
          AND later.record_offset > found.record_offset
          AND (later.role = found.role OR later.kind NOT IN ('REMINDED', 'ESCALATED')))
"""


def upgrade() -> None:
    """Make the table, from what was asked so far."""
    op.create_table(
        "open_requests",
        *(sa.Column(name, sa.BigInteger() if name in ("submission", "step") else sa.Text()) for name in _STEP),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*_STEP, name="pk_open_requests"),
    )
    op.execute(FILL)
    op.create_index(
        "ix_open_requests_due_at_engagement_id_record_offset",
        "open_requests",
        ["due_at", "engagement_id", "record_offset"],
    )


def downgrade() -> None:
    """Nothing is lost: it is kept in the requests as well."""
    op.drop_table("open_requests")
