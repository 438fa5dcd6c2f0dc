"""What the ledger knows of one occurrence of one milestone, at a cost that does not grow with how many there are."""

from collections.abc import Sequence
from operator import itemgetter

from sqlalchemy import ColumnElement, Engine, func, select

from milepost.core.outputs import ApprovalRequest, AuditEntry, MilestoneStatus
from milepost.sql import tables
from milepost.sql.engine import reading
from milepost.sql.reading import record

__all__ = ["ASKING", "Occurrences", "latest", "same"]

ASKING = ("REQUESTED", "REMINDED", "ESCALATED")
"""The kinds of request that ask somebody to sign."""

# What the audit trail says became of an event; lines and other consequences have words of their own.
_OUTCOMES = ("APPLIED", "WAITING", "REFUSED", "PARKED")


def same(column: ColumnElement[str | None], value: str | None) -> ColumnElement[bool]:
    """Equal, or both NULL; unlike IS NOT DISTINCT FROM it is answered by an index."""
    return column.is_(None) if value is None else column == value


class Occurrences:
    """Questions about single occurrences; every method raises `UnavailableError` while the database is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def requests(self, engagement: str, milestone: str, occurrence: str | None) -> list[ApprovalRequest]:
        """What signers were asked and how it went on, in order."""
        column = tables.approval_requests.c
        query = select(tables.approval_requests).where(
            column.engagement_id == engagement,
            column.milestone_id == milestone,
            same(column.occurrence_id, occurrence),
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        # Here: the database would rather walk all of an engagement's requests in order than sort these few.
        rows = sorted(rows, key=itemgetter("record_offset"))
        return [record(ApprovalRequest, dict(row)) for row in rows]

    def status(self, engagement: str, milestone: str, occurrence: str | None) -> MilestoneStatus | None:
        """Where it stands; None if it was never heard of."""
        column = tables.milestone_status.c
        query = select(tables.milestone_status).where(
            column.engagement_id == engagement,
            column.milestone_id == milestone,
            column.occurrence_id == (occurrence or ""),
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else record(MilestoneStatus, dict(row))

    def statuses(self, engagement: str, milestone: str) -> list[MilestoneStatus]:
        """Every occurrence of a milestone that has few: of @amendment one a version."""
        column = tables.milestone_status.c
        query = (
            select(tables.milestone_status)
            .where(column.engagement_id == engagement, column.milestone_id == milestone)
            .order_by(column.occurrence_id)
        )
        with reading(self._engine) as connection:
            return [record(MilestoneStatus, dict(row)) for row in connection.execute(query).mappings()]

    def billed_minor(self, engagement: str, milestone: str, occurrence: str | None) -> int:
        """Gross of its lines to date, credits taken off, in minor units."""
        line = tables.invoice_lines.c
        query = select(func.coalesce(func.sum(line.gross_minor), 0)).where(
            line.engagement_id == engagement, line.milestone_id == milestone, same(line.occurrence_id, occurrence)
        )
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def outcome(self, engagement: str, topic: str, event_id: str) -> AuditEntry | None:
        """What became of an event, by the newest entry that says so; None while the ledger does not know it.

        `topic` is the one that the join read it from, without a prefix; ids of different sources are told apart by the
        caller, who made the id.
        """
        entry = tables.audit_entries.c
        query = (
            select(tables.audit_entries)
            .where(
                entry.engagement_id == engagement,
                entry.event_id == event_id,
                entry.input_topic == topic,
                entry.what.in_(_OUTCOMES),
            )
            .order_by(entry.sequence.desc())
            .limit(1)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else record(AuditEntry, dict(row))


def latest(requests: Sequence[ApprovalRequest]) -> dict[tuple[int, int], ApprovalRequest]:
    """The newest request of each submission and step, of requests of one occurrence in order."""
    return {(request.submission, request.step): request for request in requests}
