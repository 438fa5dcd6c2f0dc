"""What people are asked to sign, over all engagements: the newest request of each step, the most urgent first."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Engine, column, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from milepost.core.calendar import END_OF_TIME
from milepost.core.outputs import ApprovalRequest
from milepost.sql import tables
from milepost.sql.engine import reading
from milepost.sql.gateway_tables import engagement_tenants
from milepost.sql.occurrences import ASKING
from milepost.sql.pages import Key, Page, like
from milepost.sql.reading import record

__all__ = ["open_requests"]

_request = tables.approval_requests.c


def open_requests(
    engine: Engine,
    after: Key | None,
    most: int,
    *,
    tenant: str | None,
    patterns: Sequence[str],
    engagement: str | None = None,
    person: str | None = None,
    role: str | None = None,
    asking: bool = True,
) -> Page[ApprovalRequest]:
    """Requests that ask somebody now, or (`asking` False) how those ended that do not; the key is (due, engagement,
    record offset), where what is never due comes last.

    `tenant` None: of everybody; `patterns` are globs, any of which has to admit the engagement; `person` is one of
    those whom the request asks. Raises `UnavailableError`.
    """
    newest = (
        select(
            tables.approval_requests,
            func.row_number()
            .over(
                partition_by=(
                    _request.engagement_id,
                    _request.milestone_id,
                    _request.occurrence_id,
                    _request.submission,
                    _request.step,
                ),
                order_by=_request.record_offset.desc(),
            )
            .label("age"),
        )
        .where(or_(*(like(engine, _request.engagement_id, pattern) for pattern in patterns)))
        .where(*([_request.engagement_id == engagement] if engagement is not None else []))
    )
    if tenant is not None:
        row = engagement_tenants.c
        mine = (row.engagement_id == _request.engagement_id) & (row.tenant == tenant)
        newest = newest.where(select(row.tenant).where(mine).exists())
    found = newest.subquery()
    due = func.coalesce(found.c.due_at, literal(END_OF_TIME)).label("due")
    asks = found.c.kind.in_(ASKING)
    query = select(found, due).where(found.c.age == 1, asks if asking else ~asks)
    if role is not None:
        query = query.where(found.c.role == role)
    if person is not None:
        query = query.where(_among(engine, found.c.people, person))
    order = (due, found.c.engagement_id, found.c.record_offset)
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*after))
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(*order).limit(most + 1)).mappings().all()
    end = None
    if len(rows) > most:
        last = rows[most - 1]
        end = (last["due"], last["engagement_id"], last["record_offset"])
    return Page([record(ApprovalRequest, dict(row)) for row in rows[:most]], end)


def _among(engine: Engine, people: ColumnElement[object], person: str) -> ColumnElement[bool]:
    """Whether a list in JSON has that text."""
    if engine.dialect.name == "postgresql":
        return people.cast(JSONB).contains([person])
    each = func.json_each(people).table_valued("value")
    return select(literal(1)).select_from(each).where(column("value") == person).exists()
