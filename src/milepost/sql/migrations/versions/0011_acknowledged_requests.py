"""What Kafka has is noted once a request, not once an event."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let ids say which request brought them, and requests that they are finished."""
    op.add_column("remembered_events", sa.Column("request_id", sa.BigInteger(), nullable=True))
    op.create_table(
        "acknowledged_requests",
        sa.Column("request_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_acknowledged_requests"),
    )
    op.create_index("ix_acknowledged_requests_acknowledged_at", "acknowledged_requests", ["acknowledged_at"])


def downgrade() -> None:
    """Forget which requests were finished: what comes again is sent again, and applied once all the same."""
    op.drop_table("acknowledged_requests")
    op.drop_column("remembered_events", "request_id")
