"""What people are asked to sign, over all engagements: of each step and role the newest request."""

from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Engine,
    FromClause,
    case,
    column,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from milepost.core.outputs import ApprovalRequest
from milepost.sql import tables
from milepost.sql.engine import reading
from milepost.sql.gateway_tables import engagement_tenants
from milepost.sql.occurrences import ASKING
from milepost.sql.pages import Key, Page, like
from milepost.sql.reading import record

__all__ = ["open_requests"]


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
    """Requests that ask somebody now, the most urgent first, or (`asking` False) how those ended that do not; the key
    is (due, engagement, record offset), where what is never due comes last and what has ended is due no more (0).

    `tenant` None: of everybody; `patterns` are globs, any of which has to admit the engagement; `person` is one of
    those whom the request asks. Raises `UnavailableError`.
    """
    found = tables.approval_requests
    place = tables.open_requests if asking else found
    due = place.c.due_at if asking else literal(0)
    query = select(found, due.label("due"))
    if asking:
        query = query.join_from(place, found, place.c.request_id == found.c.request_id)
    else:
        query = query.where(found.c.kind.not_in(ASKING), _newest(found))
    query = query.where(or_(*(like(engine, place.c.engagement_id, pattern) for pattern in patterns)))
    if engagement is not None:
        query = query.where(place.c.engagement_id == engagement)
    if tenant is not None:
        row = engagement_tenants.c
        mine = (row.engagement_id == place.c.engagement_id) & (row.tenant == tenant)
        query = query.where(select(row.tenant).where(mine).exists())
    if role is not None:
        query = query.where(place.c.role == role)
    if person is not None:
        query = query.where(_among(engine, found.c.people, person))
    order = (due, place.c.engagement_id, place.c.record_offset)[0 if asking else 1 :]  # as the indexes have them
    if after is not None:
        query = query.where(tuple_(*order) > tuple_(*after[-len(order) :]))
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(*order).limit(most + 1)).mappings().all()
    end = None
    if len(rows) > most:
        last = rows[most - 1]
        end = (last["due"], last["engagement_id"], last["record_offset"])
    return Page([record(ApprovalRequest, dict(row)) for row in rows[:most]], end)


def _newest(found: FromClause) -> ColumnElement[bool]:
    """Whether nothing was said later of the same step. Two questions, so that an index answers either of them."""
    later = tables.approval_requests.alias("later")
    same = (
        (later.c.engagement_id == found.c.engagement_id)
        & (later.c.milestone_id == found.c.milestone_id)
        & (later.c.submission == found.c.submission)
        & (later.c.step == found.c.step)
        & (later.c.record_offset > found.c.record_offset)
    )
    named = select(literal(1)).where(same, later.c.occurrence_id == found.c.occurrence_id).exists()
    unnamed = select(literal(1)).where(same, later.c.occurrence_id.is_(None)).exists()
    without = found.c.occurrence_id.is_(None)
    return case((without, ~unnamed), else_=~named)


def _among(engine: Engine, people: ColumnElement[object], person: str) -> ColumnElement[bool]:
    """Whether a list in JSON has that text."""
    if engine.dialect.name == "postgresql":
        return people.cast(JSONB).contains([person])
    each = func.json_each(people).table_valued("value")
    return select(literal(1)).select_from(each).where(column("value") == person).exists()
