"""Deliveries as rows: owed, claimed by one instance at a time, ended.

- **Owed once.** A delivery's id follows from what it says to whom; the same again adds nothing (`owe`).
- **Claimed for a while.** `claim` takes rows that are due and nobody else's, and notes the attempt before it is made. A
  claim that nobody ends (a crash) runs out, and another instance tries again: at least once, never silently none.
- **Ended by whoever holds the claim.** `end` of a claim that was lost meanwhile only notes how the attempt went.

Deliveries to one configured address and about one topic go out together: the first that is due takes along what else
is owed (`joined`), and what it took along ends as it ends.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from milepost.sql.engine import reading, writing
from milepost.sql.notice_tables import notice_attempts, notice_endpoints, notices

__all__ = ["BUNDLE_LIMIT", "ENDED", "Claimed", "Ending", "Owed", "claim", "end", "owe", "owed_now", "prune"]

OWED, SENT, FAILED, WITHDRAWN, BUNDLED = "OWED", "SENT", "FAILED", "WITHDRAWN", "BUNDLED"
ENDED = (SENT, FAILED, WITHDRAWN)
"""States that nothing leaves but a replay."""

BUNDLE_LIMIT = 500
"""Most deliveries in one e-mail."""

# Rows looked at for each that is wanted: one slow recipient's must not hide everybody else's.
_LOOKED_AT = 4
_notice = notices.c
_attempt = notice_attempts.c


class Owed(NamedTuple):
    """A delivery to be owed; the columns of `notices` of these names. `state` is OWED, or FAILED with a reason."""

    delivery_id: str
    output_id: str
    topic: str
    kind: str
    engagement_id: str | None
    step_id: str | None
    channel: str
    recipient: str
    address: str | None
    payload: str
    record_partition: int
    record_offset: int
    recorded_at: int
    owed_at: int
    due_at: int
    state: str = OWED
    reason: str | None = None


@dataclass(frozen=True)
class Claimed:
    """A delivery that is this instance's to attempt until `claimed_until`.

    `attempt` counts all there ever were from 1, `tries` those since it was owed or replayed. `joined` are the payloads
    that it takes along.
    """

    delivery_id: str
    topic: str
    kind: str
    engagement_id: str | None
    step_id: str | None
    channel: str
    recipient: str
    address: str | None
    payload: str
    record_offset: int
    recorded_at: int
    attempt: int
    tries: int
    claimed_by: str
    claimed_until: int
    joined: tuple[str, ...] = ()


class Ending(NamedTuple):
    """How an attempt went: `state` is SENT, FAILED or WITHDRAWN, or OWED with the instant of the next attempt."""

    state: str
    answer: str
    next_attempt_at: int | None = None


def owe(engine: Engine, owed: Sequence[Owed]) -> None:
    """Store deliveries; those that are there already stay as they are. Raises `UnavailableError`: nothing is stored."""
    blank = {"attempts": 0, "tries": 0, "bundle_id": None, "claimed_by": None, "claimed_until": None}
    rows = [
        {
            **{name: _storable(value) for name, value in one._asdict().items()},
            **blank,
            "ended_at": None if one.state == OWED else one.owed_at,
        }
        # In one order everywhere, so that two instances that store the same rows never wait for each other in a ring.
        for one in sorted(owed, key=lambda one: one.delivery_id)
    ]
    if rows:
        new = (postgresql_insert if engine.dialect.name == "postgresql" else sqlite_insert)(notices)
        with writing(engine) as connection:
            connection.execute(new.on_conflict_do_nothing(index_elements=["delivery_id"]), rows)


def claim(
    engine: Engine,
    claimed_by: str,
    now: int,
    until: int,
    limit: int,
    each: int,
    busy: Collection[str],
    channels: Collection[str],
) -> list[Claimed]:
    """Take at most `limit` deliveries over `channels` that are due, at most `each` to one recipient, none to `busy`.

    Deliveries to endpoints that are disabled or paused stay. `claimed_by` is the instance's own; `until` is when
    another one may take them. Raises `UnavailableError`.
    """
    resting = select(notice_endpoints.c.endpoint_id).where(
        or_(notice_endpoints.c.disabled_at.is_not(None), notice_endpoints.c.paused_until > now)
    )
    due = and_(
        _free(now),
        _notice.due_at <= now,
        _notice.channel.in_(sorted(channels)),
        or_(_notice.channel != "webhook", _notice.recipient.not_in(resting)),
        _notice.recipient.not_in(sorted(busy)),
    )
    with reading(engine) as connection:
        # Mostly there is none: then nobody else's writing is held up, as SQLite would.
        if connection.execute(select(_notice.delivery_id).where(due).limit(1)).first() is None:
            return []
    query = (
        select(notices)
        .where(due)
        .order_by(_notice.due_at, _notice.delivery_id)
        .limit(limit * _LOOKED_AT)
        .with_for_update(skip_locked=True)
    )
    claimed: list[Claimed] = []
    taken: dict[str, int] = {}
    joined: set[str] = set()
    with writing(engine) as connection:
        for row in connection.execute(query).all():
            if len(claimed) == limit or taken.get(row.recipient, 0) == each or row.delivery_id in joined:
                continue
            taken[row.recipient] = taken.get(row.recipient, 0) + 1
            if row.address is not None and row.attempts == 0:
                joined.update(_join(connection, row, now))
            claimed.append(_claim(connection, row, claimed_by, now, until))
    return claimed


def _free(now: int) -> ColumnElement[bool]:
    """Owed, and nobody's: never claimed, or by somebody whose time is over."""
    return and_(_notice.state == OWED, or_(_notice.claimed_until.is_(None), _notice.claimed_until <= now))


def _join(connection: Connection, head: Row[Any], now: int) -> list[str]:
    """Let the delivery take along what else is owed to its address about its topic."""
    others = (
        select(_notice.delivery_id)
        .where(_free(now), _notice.address == head.address, _notice.topic == head.topic, _notice.attempts == 0)
        .where(_notice.delivery_id != head.delivery_id)
        .order_by(_notice.due_at, _notice.delivery_id)
        .limit(BUNDLE_LIMIT - 1)
        .with_for_update(skip_locked=True)
    )
    joining = list(connection.execute(others).scalars())
    if joining:
        bundled = {"state": BUNDLED, "bundle_id": head.delivery_id}
        connection.execute(update(notices).where(_notice.delivery_id.in_(joining)).values(**bundled))
    return joining


def _claim(connection: Connection, row: Row[Any], claimed_by: str, now: int, until: int) -> Claimed:
    attempt, tries = row.attempts + 1, row.tries + 1
    connection.execute(
        update(notices)
        .where(_notice.delivery_id == row.delivery_id)
        .values(claimed_by=claimed_by, claimed_until=until, attempts=attempt, tries=tries)
    )
    connection.execute(insert(notice_attempts).values(delivery_id=row.delivery_id, attempt=attempt, attempted_at=now))
    along = select(_notice.payload).where(_notice.bundle_id == row.delivery_id)
    payloads = connection.execute(along.order_by(_notice.recorded_at, _notice.delivery_id)).scalars()
    same = Claimed.__dataclass_fields__.keys() & row._mapping.keys() - {"tries", "claimed_by", "claimed_until"}
    return Claimed(
        **{name: row._mapping[name] for name in same},
        attempt=attempt,
        tries=tries,
        claimed_by=claimed_by,
        claimed_until=until,
        joined=tuple(payloads) if row.address is not None else (),
    )


def end(engine: Engine, claimed: Claimed, ending: Ending, now: int) -> bool:
    """Note how the attempt went, and with it the delivery, unless the claim was lost: then False.

    Raises `UnavailableError`; may be called again.
    """
    mine = and_(
        _notice.delivery_id == claimed.delivery_id,
        _notice.claimed_by == claimed.claimed_by,
        _notice.attempts == claimed.attempt,
    )
    over = ending.state != OWED
    values: dict[str, Any] = {"state": ending.state, "reason": ending.answer, "claimed_by": None, "claimed_until": None}
    if over:
        values["ended_at"] = now
    else:
        values["due_at"] = ending.next_attempt_at
    with writing(engine) as connection:
        connection.execute(
            update(notice_attempts)
            .where(_attempt.delivery_id == claimed.delivery_id, _attempt.attempt == claimed.attempt)
            .values(
                ended_at=now,
                outcome="RETRY" if ending.state == OWED else ending.state,
                answer=_storable(ending.answer),
                next_attempt_at=ending.next_attempt_at,
            )
        )
        held = connection.execute(
            update(notices).where(mine).values(**{name: _storable(value) for name, value in values.items()})
        )
        if held.rowcount and over:
            along = and_(_notice.bundle_id == claimed.delivery_id, _notice.state == BUNDLED)
            ended = {"state": ending.state, "reason": _storable(ending.answer), "ended_at": now}
            connection.execute(update(notices).where(along).values(**ended))
    return bool(held.rowcount)


def owed_now(engine: Engine) -> dict[str, tuple[int, int]]:
    """How many deliveries are owed, and since when the oldest, by channel. Raises `UnavailableError`."""
    query = (
        select(_notice.channel, func.count(), func.min(_notice.owed_at))
        .where(_notice.state == OWED)
        .group_by(_notice.channel)
    )
    with reading(engine) as connection:
        return {channel: (count, oldest) for channel, count, oldest in connection.execute(query)}


def prune(engine: Engine, before: int) -> int:
    """Forget deliveries that ended before that instant, with their attempts; how many. Raises `UnavailableError`."""
    old = and_(_notice.state.in_(ENDED), _notice.ended_at < before)
    with writing(engine) as connection:
        connection.execute(
            delete(notice_attempts).where(_attempt.delivery_id.in_(select(_notice.delivery_id).where(old)))
        )
        return connection.execute(delete(notices).where(old)).rowcount


def _storable(value: Any) -> Any:
    """PostgreSQL holds no U+0000 in text; a dead letter's key may be any bytes."""
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value
