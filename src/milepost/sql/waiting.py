"""Which requests ask somebody now: brought up to date with every batch of requests that is stored."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

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

_STEP_IS = (
    "engagement_id = :engagement AND milestone_id = :milestone AND occurrence_id = :occurrence "
    "AND submission = :submission AND step = :step"
)
_CLOSE = text(f"DELETE FROM open_requests WHERE {_STEP_IS}")  # noqa: S608 (our own words)
_REPLACE = text(f"DELETE FROM open_requests WHERE {_STEP_IS} AND role = :role")  # noqa: S608 (our own words)
_OPEN = text(
    "INSERT INTO open_requests (engagement_id, milestone_id, occurrence_id, submission, step, role, request_id, "  # noqa: S608
    "due_at, record_offset) SELECT engagement_id, milestone_id, coalesce(occurrence_id, ''), submission, step, role, "
    f"request_id, coalesce(due_at, {END_OF_TIME}), record_offset FROM approval_requests WHERE request_id = :request"
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
    replaced = [{**_named(place), "role": role} for place, role, _ in opened if place not in closed]
    for statement, values in (
        (_CLOSE, [_named(place) for place in sorted(closed)]),
        (_REPLACE, replaced),
        (_OPEN, [{"request": request} for _, _, request in opened]),
    ):
        if values:
            connection.execute(statement, values)


def _named(place: _Step) -> dict[str, str | int]:
    return dict(zip(("engagement", "milestone", "occurrence", "submission", "step"), place, strict=True))
