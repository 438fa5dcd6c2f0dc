"""Lists in the order of the join, page by page, and what explains a line: found by an index each."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_INDEXES = (
    ("invoice_lines", ("engagement_id", "record_offset")),
    ("invoice_lines", ("corrects_line_id",)),
    ("retention_events", ("engagement_id", "record_offset")),
    ("retention_events", ("line_id",)),
    ("approval_requests", ("engagement_id", "record_offset")),
)
# What the new ones answer as well.
_DROPPED = (("invoice_lines", ("engagement_id", "accepted_at")), ("retention_events", ("engagement_id",)))
_CHANGES = "ix_audit_entries_input_partition_input_offset"


def upgrade() -> None:
    """Create the indexes, drop those that they replace."""
    _create(_INDEXES)
    _drop(_DROPPED)
    only = sa.text("input_topic = 'engagements'")
    op.create_index(
        _CHANGES, "audit_entries", ["input_partition", "input_offset"], sqlite_where=only, postgresql_where=only
    )


def downgrade() -> None:
    """The other way round."""
    op.drop_index(_CHANGES, "audit_entries")
    _create(_DROPPED)
    _drop(_INDEXES)


def _create(indexes: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
    for table, columns in indexes:
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))


def _drop(indexes: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
    for table, columns in indexes:
        op.drop_index(f"ix_{table}_{'_'.join(columns)}", table)
