"""The ledger page by page: each question takes where the last page ended and how much is wanted, and costs that much.

A page ends at the key of its last item; the next one begins after it, whatever was stored meanwhile. Within an
engagement the order is that of the join (the offsets of one partition); statuses go by name, engagements by id.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Engine, Table, and_, or_, select, tuple_

from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, RetentionEvent
from milepost.sql import tables
from milepost.sql.engine import reading
from milepost.sql.gateway_tables import engagement_tenants
from milepost.sql.queries import taken_changes
from milepost.sql.reading import record

__all__ = ["Change", "Key", "Page", "Pages", "like"]

Item = TypeVar("Item")
_Output = TypeVar("_Output", InvoiceLine, RetentionEvent, ApprovalRequest, MilestoneStatus, AuditEntry)

Key = tuple[str | int, ...]
"""Where a page ended: the values of its last row by which the question orders."""


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some items in order; `end` is the last one's key, None when nothing comes after it."""

    items: list[Item]
    end: Key | None


class Change(NamedTuple):
    """One thing that was done with an engagement and taken; `contract` is JSON text."""

    engagement_id: str
    change: str
    occurred_at: int
    contract: str | None
    record_offset: int
    what: str


class Pages:
    """Questions to one database; every method raises `UnavailableError` while it is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lines(
        self,
        engagement: str,
        after: Key | None,
        most: int,
        *,
        milestone_id: str | None = None,
        kind: str | None = None,
    ) -> Page[InvoiceLine]:
        """Invoice lines; the key is (record offset,)."""
        given = {"milestone_id": milestone_id, "kind": kind}
        return self._page(InvoiceLine, tables.invoice_lines, ("record_offset",), engagement, given, after, most)

    def retention(self, engagement: str, after: Key | None, most: int) -> Page[RetentionEvent]:
        """What was held, reduced and released; the key is (record offset,)."""
        return self._page(RetentionEvent, tables.retention_events, ("record_offset",), engagement, {}, after, most)

    def requests(
        self, engagement: str, after: Key | None, most: int, *, milestone_id: str | None = None, kind: str | None = None
    ) -> Page[ApprovalRequest]:
        """Approval requests; the key is (record offset,)."""
        given = {"milestone_id": milestone_id, "kind": kind}
        table = tables.approval_requests
        return self._page(ApprovalRequest, table, ("record_offset",), engagement, given, after, most)

    def statuses(
        self,
        engagement: str,
        after: Key | None,
        most: int,
        *,
        milestone_id: str | None = None,
        state: str | None = None,
        occurrence_id: str | None = None,
    ) -> Page[MilestoneStatus]:
        """Where occurrences stand; the key is (milestone, occurrence or "")."""
        given = {"milestone_id": milestone_id, "state": state, "occurrence_id": occurrence_id}
        order = ("milestone_id", "occurrence_id")
        return self._page(MilestoneStatus, tables.milestone_status, order, engagement, given, after, most)

    def audit(
        self, engagement: str, after: Key | None, most: int, *, what: str | None = None, reason: str | None = None
    ) -> Page[AuditEntry]:
        """Audit entries; the key is (sequence,)."""
        given = {"what": what, "reason": reason}
        return self._page(AuditEntry, tables.audit_entries, ("sequence",), engagement, given, after, most)

    def line(self, engagement: str, line_id: str) -> InvoiceLine | None:
        """One line of an engagement."""
        found = tables.invoice_lines.c
        query = select(tables.invoice_lines).where((found.line_id == line_id) & (found.engagement_id == engagement))
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else record(InvoiceLine, dict(row))

    def engagements(
        self, after: Key | None, most: int, *, tenant: str | None, patterns: Sequence[str]
    ) -> Page[list[Change]]:
        """Engagements that were opened, each as what was done with it in order; the key is (engagement,).

        `tenant` None: of everybody. `patterns` are globs of `*` and `?`, any of which has to admit the id.
        """
        taken = taken_changes.c
        query = select(taken.engagement_id).where(taken.change == "OPENED").distinct()
        query = query.where(or_(*(like(self._engine, taken.engagement_id, pattern) for pattern in patterns)))
        if tenant is not None:
            row = engagement_tenants.c
            query = query.where(
                select(row.tenant).where((row.engagement_id == taken.engagement_id) & (row.tenant == tenant)).exists()
            )
        if after is not None:
            query = query.where(taken.engagement_id > after[0])
        with reading(self._engine) as connection:
            names = connection.execute(query.order_by(taken.engagement_id).limit(most + 1)).scalars().all()
            rows = connection.execute(
                select(taken_changes).where(taken.engagement_id.in_(names[:most])).order_by(taken.record_offset)
            ).all()
        done: dict[str, list[Change]] = {name: [] for name in names[:most]}
        for one in rows:
            done[one.engagement_id].append(Change(*one))
        return Page(list(done.values()), (names[most - 1],) if len(names) > most else None)

    def changes(self, engagement: str) -> list[Change]:
        """What was done with one engagement, in order; nothing if it was never opened."""
        taken = taken_changes.c
        query = select(taken_changes).where(taken.engagement_id == engagement).order_by(taken.record_offset)
        with reading(self._engine) as connection:
            return [Change(*row) for row in connection.execute(query)]

    def _page(
        self,
        kind: type[_Output],
        table: Table,
        order: Sequence[str],
        engagement: str,
        given: Mapping[str, str | None],
        after: Key | None,
        most: int,
    ) -> Page[_Output]:
        columns = [table.c[name] for name in order]
        wanted = [table.c[name] == value for name, value in given.items() if value is not None]
        query = select(table).where(and_(table.c.engagement_id == engagement, *wanted))
        if after is not None:
            query = query.where(tuple_(*columns) > tuple_(*after))
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(*columns).limit(most + 1)).mappings().all()
        end = tuple(rows[most - 1][name] for name in order) if len(rows) > most else None
        return Page([record(kind, dict(row)) for row in rows[:most]], end)

    def before(self, line: InvoiceLine, most: int) -> list[InvoiceLine] | None:
        """An engagement's lines up to and with one of them, in order; None if there are more than `most`."""
        found = tables.invoice_lines.c
        until = select(found.record_offset).where(found.line_id == line.line_id).scalar_subquery()
        query = (
            select(tables.invoice_lines)
            .where((found.engagement_id == line.engagement_id) & (found.record_offset <= until))
            .order_by(found.record_offset)
            .limit(most + 1)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).mappings().all()
        return None if len(rows) > most else [record(InvoiceLine, dict(row)) for row in rows]

    def entries_of(self, engagement: str, line_id: str, event_ids: Collection[str]) -> list[AuditEntry]:
        """The audit entries that raised a line, and those of the events that caused it, by sequence."""
        entry = tables.audit_entries.c
        query = (
            select(tables.audit_entries)
            .where(entry.engagement_id == engagement)
            .where((entry.line_id == line_id) | entry.event_id.in_(sorted(event_ids)))
            .order_by(entry.sequence)
        )
        with reading(self._engine) as connection:
            return [record(AuditEntry, dict(row)) for row in connection.execute(query).mappings()]

    def retention_of(self, line_id: str) -> list[RetentionEvent]:
        """What a line withheld, gave back or paid out."""
        query = select(tables.retention_events).where(tables.retention_events.c.line_id == line_id)
        with reading(self._engine) as connection:
            return [record(RetentionEvent, dict(row)) for row in connection.execute(query).mappings()]

    def corrections_of(self, line_id: str) -> list[InvoiceLine]:
        """Lines that correct a line, in order."""
        found = tables.invoice_lines.c
        query = select(tables.invoice_lines).where(found.corrects_line_id == line_id).order_by(found.record_offset)
        with reading(self._engine) as connection:
            return [record(InvoiceLine, dict(row)) for row in connection.execute(query).mappings()]


def like(engine: Engine, column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether a column has the form of a glob of `*` and `?`."""
    if engine.dialect.name == "sqlite":
        # LIKE does not tell capitals from small letters there.
        return column.op("GLOB")(pattern)
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")
