"""Which requests ask somebody now: brought up to date with every batch of requests that is stored."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, Connection, and_, bindparam, delete, func, insert, literal, select

from milepost.core.calendar import END_OF_TIME
from milepost.sql import tables
from milepost.sql.occurrences import ASKING

__all__ = ["follow"]

# What asks one role more, or once more; everything else is said of a whole step, and of all who were asked.
_OF_ONE_ROLE = ("REMINDED", "ESCALATED")

_Step = tuple[str, str, str, int, int]
_NAMES = [column.name for column in tables.approval_requests.columns]
_STEP = [_NAMES.index(name) for name in ("engagement_id", "milestone_id", "occurrence_id", "submission", "step")]
_ROLE, _KIND, _ID = (_NAMES.index(name) for name in ("role", "kind", "request_id"))

_open, _asked = tables.open_requests.c, tables.approval_requests.c
_step_is = and_(
    _open.engagement_id == bindparam("engagement"),
    _open.milestone_id == bindparam("milestone"),
    _open.occurrence_id == bindparam("occurrence"),
    _open.submission == bindparam("number"),
    _open.step == bindparam("place"),
)
_close = delete(tables.open_requests).where(_step_is)
_replace = delete(tables.open_requests).where(_step_is, _open.role == bindparam("by"))
_add = insert(tables.open_requests).from_select(
    [column.name for column in tables.open_requests.columns],
    select(
        _asked.engagement_id,
        _asked.milestone_id,
        func.coalesce(_asked.occurrence_id, ""),
        _asked.submission,
        _asked.step,
        _asked.role,
        _asked.request_id,
        func.coalesce(_asked.due_at, literal(END_OF_TIME, BigInteger)),
        _asked.record_offset,
    ).where(_asked.request_id == bindparam("request")),
)


def follow(connection: Connection, rows: Sequence[Sequence[str | int | None]]) -> None:
    """Close and open steps as these rows of approval_requests, stored just now, say; those of a step in their order."""
    asking: dict[_Step, dict[str, str]] = {}
    closed: set[_Step] = set()
    for row in rows:
        engagement, milestone, occurrence, submission, step = (row[place] for place in _STEP)
        place = (str(engagement), str(milestone), str(occurrence or ""), int(submission or 0), int(step or 0))
        if row[_KIND] not in _OF_ONE_ROLE:
            closed.add(place)
            asking[place] = {}
        if row[_KIND] in ASKING:
            asking.setdefault(place, {})[str(row[_ROLE])] = str(row[_ID])
    opened = [(place, role, request) for place, roles in asking.items() for role, request in roles.items()]
    replaced = [{**_named(place), "by": role} for place, role, _ in opened if place not in closed]
    for statement, values in (
        (_close, [_named(place) for place in sorted(closed)]),
        (_replace, replaced),
        (_add, [{"request": request} for _, _, request in opened]),
    ):
        if values:
            connection.execute(statement, values)


def _named(place: _Step) -> dict[str, str | int]:
    return dict(zip(("engagement", "milestone", "occurrence", "number", "place"), place, strict=True))
