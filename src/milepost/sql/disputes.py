"""Where disputes of lines stand: by what was said of each and taken, as the audit trail says (rule 25)."""

from collections.abc import Collection

from sqlalchemy import Engine, literal_column, select

from milepost.sql import tables
from milepost.sql.engine import reading

__all__ = ["Disputes", "disputes_of"]

Disputes = dict[str, dict[str, str]]
"""By line and dispute, in the order in which they were opened: the kind of the last event that was taken."""

_said, _entry = tables.dispute_events.c, tables.audit_entries.c
_taken = (
    select(_said.line_id, _said.dispute_id, _said.kind)
    .select_from(tables.dispute_events)
    .join(
        tables.audit_entries,
        (_entry.engagement_id == _said.engagement_id)
        & (_entry.input_topic == literal_column("'dispute-events'"))  # the partial index asks for the word itself
        & (_entry.input_partition == _said.record_partition)
        & (_entry.input_offset == _said.record_offset),
    )
    .where(_entry.what == "APPLIED")
    .order_by(_entry.sequence)
)


def disputes_of(engine: Engine, engagement: str, line_ids: Collection[str]) -> Disputes:
    """The disputes of some lines of an engagement, at most a page of them. Raises `UnavailableError`."""
    if not line_ids:
        return {}
    query = _taken.where((_said.engagement_id == engagement) & _said.line_id.in_(sorted(line_ids)))
    found: Disputes = {}
    with reading(engine) as connection:
        for line_id, dispute_id, kind in connection.execute(query):
            # The join takes none that is dated before the last one: the last one taken says where it stands.
            found.setdefault(line_id, {})[dispute_id] = kind
    return found
