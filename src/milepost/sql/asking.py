"""How it stands with the step of a submission that people were asked to sign: from the ledger and from what was owed.

Records of one engagement are in one partition, so that a later one has a higher offset. The ledger may be behind the
topic, or notices may be; the newer of what both know counts.
"""

from collections.abc import Sequence

from sqlalchemy import Engine, select

from milepost.core.outputs import ApprovalRequest
from milepost.sql.engine import reading
from milepost.sql.notice_tables import notices
from milepost.sql.notices import WITHDRAWN
from milepost.sql.occurrences import same
from milepost.sql.tables import approval_requests

__all__ = ["ENDS", "asked", "settled_by"]

ENDS = ("GRANTED", "DEEMED", "REJECTED", "EXPIRED", "SUPERSEDED")
"""The kinds of request that say how a step ended."""

_notice = notices.c


def settled_by(engine: Engine, request: ApprovalRequest, step_id: str) -> str | None:
    """How the step has ended as far as is known, or None while it is to be signed. Raises `UnavailableError`."""
    asked_for = approval_requests.c
    stored = (
        select(asked_for.record_offset, asked_for.kind)
        .where(
            asked_for.engagement_id == request.engagement_id,
            asked_for.milestone_id == request.milestone_id,
            same(asked_for.occurrence_id, request.occurrence_id),
            asked_for.submission == request.submission,
            asked_for.step == request.step,
        )
        .order_by(asked_for.record_offset.desc())
        .limit(1)
    )
    owed = (
        select(_notice.record_offset, _notice.kind)
        .where(_notice.step_id == step_id)
        .order_by(_notice.record_offset.desc())
        .limit(1)
    )
    with reading(engine) as connection:
        known = [(row[0], row[1]) for query in (stored, owed) for row in connection.execute(query)]
    kind = max(known)[1] if known else None
    return kind if kind in ENDS else None


def asked(engine: Engine, step_ids: Sequence[str]) -> dict[str, list[str]]:
    """The people who are owed an e-mail about a step, or were sent one, by its id. Raises `UnavailableError`."""
    query = (
        select(_notice.step_id, _notice.recipient)
        .where(_notice.step_id.in_(sorted(set(step_ids))), _notice.channel == "email", _notice.state != WITHDRAWN)
        .distinct()
        .order_by(_notice.recipient)
    )
    found: dict[str, list[str]] = {}
    if step_ids:
        with reading(engine) as connection:
            for step_id, person in connection.execute(query):
                found.setdefault(step_id, []).append(person)
    return found
