"""The delivery log: what is owed and was sent, every attempt with its answer, and sending again.

A replay keeps the delivery's id, so that a receiver that has it already can tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, select, update

from milepost.sql.engine import reading, writing
from milepost.sql.notice_tables import notice_attempts, notices
from milepost.sql.notices import ENDED, OWED

__all__ = ["Attempt", "Delivery", "Selection", "attempts_of", "deliveries", "replay"]

_notice = notices.c


@dataclass(frozen=True)
class Selection:
    """Which deliveries: every condition that is given holds. `since` and `until` (exclusive) are about `owed_at`."""

    delivery_ids: Sequence[str] = ()
    states: Sequence[str] = ()
    recipient: str | None = None
    engagement: str | None = None
    channel: str | None = None
    since: int | None = None
    until: int | None = None

    def condition(self) -> ColumnElement[bool]:
        """As a WHERE."""
        holds: list[ColumnElement[bool]] = []
        if self.delivery_ids:
            holds.append(_notice.delivery_id.in_(list(self.delivery_ids)))
        if self.states:
            holds.append(_notice.state.in_(list(self.states)))
        for column, wanted in (
            (_notice.recipient, self.recipient),
            (_notice.engagement_id, self.engagement),
            (_notice.channel, self.channel),
        ):
            if wanted is not None:
                holds.append(column == wanted)
        if self.since is not None:
            holds.append(_notice.owed_at >= self.since)
        if self.until is not None:
            holds.append(_notice.owed_at < self.until)
        return and_(*holds) if holds else _notice.delivery_id.is_not(None)


@dataclass(frozen=True)
class Delivery:
    """One delivery as it stands; `reason` is the last answer, or why there will be none."""

    delivery_id: str
    output_id: str
    topic: str
    kind: str
    engagement_id: str | None
    channel: str
    recipient: str
    payload: str
    state: str
    reason: str | None
    bundle_id: str | None
    attempts: int
    recorded_at: int
    owed_at: int
    due_at: int
    ended_at: int | None


@dataclass(frozen=True)
class Attempt:
    """One attempt; `outcome` is null for one that was cut off: whether it arrived is unknown."""

    attempt: int
    attempted_at: int
    ended_at: int | None
    outcome: str | None
    answer: str | None
    next_attempt_at: int | None


def deliveries(engine: Engine, selection: Selection, limit: int) -> list[Delivery]:
    """The newest deliveries of a selection, newest first. Raises `UnavailableError`."""
    query = (
        select(*(notices.c[name] for name in Delivery.__dataclass_fields__))
        .where(selection.condition())
        .order_by(_notice.owed_at.desc(), _notice.delivery_id)
        .limit(limit)
    )
    with reading(engine) as connection:
        return [Delivery(**row) for row in connection.execute(query).mappings()]


def attempts_of(engine: Engine, delivery_id: str) -> list[Attempt]:
    """Every attempt of a delivery, in order. Raises `UnavailableError`."""
    query = (
        select(*(notice_attempts.c[name] for name in Attempt.__dataclass_fields__))
        .where(notice_attempts.c.delivery_id == delivery_id)
        .order_by(notice_attempts.c.attempt)
    )
    with reading(engine) as connection:
        return [Attempt(**row) for row in connection.execute(query).mappings()]


def replay(engine: Engine, selection: Selection, now: int) -> int:
    """Owe again, from now, what had ended; how many. What is owed already stays. Raises `UnavailableError`."""
    again: dict[str, Any] = {"state": OWED, "reason": "replayed", "due_at": now, "tries": 0, "ended_at": None}
    ended = and_(selection.condition(), _notice.state.in_(ENDED))
    with writing(engine) as connection:
        return connection.execute(update(notices).where(ended).values(**again, bundle_id=None)).rowcount
