"""Ids of what came in, each with the hash of what it said: the memory that tells a repeat from a contradiction.

Rows are small and come in batches, those of several requests together; `keep` is one transaction a call. A row is kept
longer than any sender tries again (`prune`).

A request that contradicts what is known, or itself, is refused and keeps nothing: what it brought first was never sent,
and a corrected request may bring it again. That is decided in the transaction which keeps the rest, so that no other
request ever sees, and relies on, an id which then goes away.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, tuple_, update

from milepost.sql import gateway_tables as tables
from milepost.sql.engine import reading, writing

__all__ = ["Arrival", "Ids", "Known", "Remembered", "Told", "is_acknowledged", "keep", "prune"]

# Both databases limit the parameters of a statement (SQLite to 32,766).
_KEYS_A_STATEMENT = 1_000
_MAX_KEY_BYTES = 1_000

Ids = tuple[str, str]
"""A scope (whoever gives the ids), and an id in it."""


class Arrival(NamedTuple):
    """An id within its scope (whoever gives the ids), and the SHA-256 of what came with it, in hexadecimal."""

    scope: str
    event_id: str
    body_sha256: str


class Remembered(NamedTuple):
    """What is known of an id: what came with it first, when, in which request, and whether Kafka acknowledged it."""

    body_sha256: str
    first_seen_at: int
    request_id: int | None
    acknowledged: bool


Known = Mapping[Ids, Remembered]


class Told(NamedTuple):
    """What one request tells, at an instant (microseconds): ids that came with it; or, later, that Kafka has what they
    stand for. That is one row, but for `others`: ids that an earlier request brought, and which it did not finish."""

    request_id: int
    at: int
    arrivals: Sequence[Arrival] = ()
    acknowledged: bool = False
    others: Collection[Ids] = ()


_events, _requests = tables.remembered_events, tables.acknowledged_requests
_row = _events.c
_INSERT = {
    name: "INSERT INTO remembered_events (scope, event_id, body_sha256, first_seen_at, request_id) "
    "VALUES (?, ?, ?, ?, ?) ON CONFLICT (scope, event_id) DO NOTHING".replace("?", mark)
    for name, mark in (("sqlite", "?"), ("postgresql", "%s"))
}
_acknowledge = (
    update(_events)
    .where(_row.scope == bindparam("of"), _row.event_id == bindparam("id"), _row.acknowledged_at.is_(None))
    .values(acknowledged_at=bindparam("at"))
)
_look_up = select(
    _row.scope,
    _row.event_id,
    _row.body_sha256,
    _row.first_seen_at,
    _row.request_id,
    func.coalesce(_row.acknowledged_at, _requests.c.acknowledged_at).label("acknowledged_at"),
).select_from(_events.outerjoin(_requests, _row.request_id == _requests.c.request_id))


def keep(engine: Engine, told: Sequence[Told]) -> list[Known]:
    """Keep what requests tell and answer each what is known of every id that came with it; of one id, the first stays.

    Of a request that contradicts it, one of whose ids is known with another hash, nothing is kept; its answer has that
    hash. Raises `UnavailableError`: then nothing is kept.
    """
    first: dict[Ids, Remembered] = {}
    agreed = True
    for one in told:
        for scope, name, body_sha256 in one.arrivals:
            came = Remembered(body_sha256, one.at, one.request_id, False)
            stays = first.setdefault((_short(scope), _short(name)), came)
            agreed = agreed and stays.body_sha256 == body_sha256
    with writing(engine) as connection:
        _mark(connection, told)
        if not first:
            return [{} for _ in told]
        if _added(connection, first) < len(first) or not agreed:
            return _settled(connection, told, _stored(connection, first))
    # As nearly always: everything is new, and there is nothing to look at.
    return [{(scope, name): first[_short(scope), _short(name)] for scope, name, _ in one.arrivals} for one in told]


def _mark(connection: Connection, told: Sequence[Told]) -> None:
    finished = [{"request_id": one.request_id, "acknowledged_at": one.at} for one in told if one.acknowledged]
    if finished:
        connection.execute(insert(_requests), finished)
    # In one order everywhere: two instances that lock the same rows in different orders would wait for each other.
    others = sorted({(_short(scope), _short(name), one.at) for one in told for scope, name in one.others})
    if others:
        connection.execute(_acknowledge, [{"of": scope, "id": name, "at": at} for scope, name, at in others])


def _added(connection: Connection, brought: Mapping[Ids, Remembered]) -> int:
    """Add the ids that are not there; how many that were."""
    # In one order, as above. Straight to the driver: what SQLAlchemy does for each row costs more than the row itself.
    rows = [(*ids, came.body_sha256, came.first_seen_at, came.request_id) for ids, came in sorted(brought.items())]
    return connection.exec_driver_sql(_INSERT[connection.dialect.name], rows).rowcount if rows else 0


def _stored(connection: Connection, names: Collection[Ids]) -> dict[Ids, Remembered]:
    known: dict[Ids, Remembered] = {}
    for some in _slices(list(names)):
        for row in connection.execute(_look_up.where(tuple_(_row.scope, _row.event_id).in_(some))):
            acknowledged = row.acknowledged_at is not None
            came = Remembered(row.body_sha256, row.first_seen_at, row.request_id, acknowledged)
            known[row.scope, row.event_id] = came
    return known


def _settled(connection: Connection, told: Sequence[Told], stored: Mapping[Ids, Remembered]) -> list[Known]:
    """The answers, as if the requests had come one after the other; what only refused ones brought is taken back."""
    # Not those that tell now what Kafka has: what they brought was kept before, and may have been sent.
    ours = {one.request_id for one in told if one.arrivals}
    added = {ids: came for ids, came in stored.items() if came.request_id in ours}
    stays = {ids: came for ids, came in stored.items() if ids not in added}
    answers: list[Known] = []
    for one in told:
        brought: dict[Ids, Remembered] = {}
        answer: dict[Ids, Remembered] = {}
        for scope, name, body_sha256 in one.arrivals:
            ids = _short(scope), _short(name)
            came = Remembered(body_sha256, one.at, one.request_id, False)
            answer[scope, name] = stays[ids] if ids in stays else brought.setdefault(ids, came)
        answers.append(answer)
        if all(answer[scope, name].body_sha256 == body_sha256 for scope, name, body_sha256 in one.arrivals):
            stays.update(brought)
    wrong = sorted(ids for ids, came in added.items() if stays.get(ids) != came)
    for some in _slices(wrong):
        connection.execute(delete(_events).where(tuple_(_row.scope, _row.event_id).in_(some)))
    _added(connection, {ids: stays[ids] for ids in wrong if ids in stays})
    return answers


def is_acknowledged(engine: Engine, arrival: Arrival) -> bool:
    """Whether Kafka has what came with this id, and it was this. Raises `UnavailableError`."""
    query = _look_up.where(_row.scope == _short(arrival.scope), _row.event_id == _short(arrival.event_id))
    with reading(engine) as connection:
        found = connection.execute(query).first()
    return found is not None and found.acknowledged_at is not None and found.body_sha256 == arrival.body_sha256


def prune(engine: Engine, before: int) -> int:
    """Forget what was first seen before that instant; how many ids that were. Raises `UnavailableError`."""
    with reading(engine) as connection:
        if connection.execute(select(_row.scope).where(_row.first_seen_at < before).limit(1)).first() is None:
            return 0
    with writing(engine) as connection:
        # A request is as old as the ids that it brought first.
        connection.execute(delete(_requests).where(_requests.c.acknowledged_at < before))
        return connection.execute(delete(_events).where(_row.first_seen_at < before)).rowcount


def _short(text: str) -> str:
    """What stands for a long id in an index, whose rows PostgreSQL limits to 2,700 bytes."""
    if len(text) <= _MAX_KEY_BYTES // 4:  # no character takes more
        return text
    raw = text.encode()
    return text if len(raw) <= _MAX_KEY_BYTES else f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _slices(keys: Sequence[tuple[str, str]]) -> Iterable[Sequence[tuple[str, str]]]:
    return (keys[start : start + _KEYS_A_STATEMENT] for start in range(0, len(keys), _KEYS_A_STATEMENT))
