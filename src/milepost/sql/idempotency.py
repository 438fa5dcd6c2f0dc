"""Answers by `Idempotency-Key`: held while the first request runs, kept for those who ask again.

A hold has an end, so that a request which died with its process can be made again; taking it over is a comparison with
the end that was found, and of two that try one succeeds.
"""

from dataclasses import dataclass

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from milepost.sql.engine import reading, writing
from milepost.sql.gateway_tables import idempotency_keys

__all__ = ["Answer", "Hold", "hold", "keep_answer", "prune_answers", "release"]

_key = idempotency_keys.c


@dataclass(frozen=True)
class Answer:
    """A kept answer."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Hold:
    """What is known of a key: `ours`, if the caller may run its request now; else `answer`, or None while another runs
    it; `request_sha256` is that of the first request."""

    ours: bool
    request_sha256: str
    held_until: int
    answer: Answer | None


def hold(
    engine: Engine, principal: str, key: str, request_sha256: str, now: int, held_until: int, expires_at: int
) -> Hold:
    """Take the key for a request, if it is free: never seen, expired, or held by one that ran out of its time.

    Raises `UnavailableError`.
    """
    mine = (_key.principal == principal) & (_key.idempotency_key == key)
    new = (postgresql_insert if engine.dialect.name == "postgresql" else sqlite_insert)(idempotency_keys)
    row = {
        "principal": principal,
        "idempotency_key": key,
        "request_sha256": request_sha256,
        "held_until": held_until,
        "expires_at": expires_at,
    }
    with writing(engine) as connection:
        connection.execute(delete(idempotency_keys).where(mine & (_key.expires_at <= now)))
        added = connection.execute(
            new.values(row)
            .on_conflict_do_nothing(index_elements=["principal", "idempotency_key"])
            .returning(_key.held_until)
        ).first()
        if added is not None:
            return Hold(True, request_sha256, held_until, None)
        found = connection.execute(select(idempotency_keys).where(mine)).one()
        if found.status is not None:
            answer = Answer(found.status, found.content_type, bytes(found.body))
            return Hold(False, found.request_sha256, found.held_until, answer)
        if found.request_sha256 != request_sha256 or found.held_until > now:
            return Hold(False, found.request_sha256, found.held_until, None)
        taken = connection.execute(
            update(idempotency_keys)
            .where(mine & (_key.held_until == found.held_until) & _key.status.is_(None))
            .values(held_until=held_until)
        ).rowcount
        return Hold(taken == 1, request_sha256, held_until, None)


def keep_answer(engine: Engine, principal: str, key: str, held_until: int, answer: Answer) -> None:
    """Keep the answer of the request that holds the key; nothing happens if another one took it over."""
    with writing(engine) as connection:
        connection.execute(
            update(idempotency_keys)
            .where(
                (_key.principal == principal)
                & (_key.idempotency_key == key)
                & (_key.held_until == held_until)
                & _key.status.is_(None)
            )
            .values(status=answer.status, content_type=answer.content_type, body=answer.body)
        )


def release(engine: Engine, principal: str, key: str, held_until: int) -> None:
    """Forget the key: its request had no effect and may be made again, or another one."""
    with writing(engine) as connection:
        connection.execute(
            delete(idempotency_keys).where(
                (_key.principal == principal)
                & (_key.idempotency_key == key)
                & (_key.held_until == held_until)
                & _key.status.is_(None)
            )
        )


def prune_answers(engine: Engine, now: int) -> int:
    """Forget what has expired; how many keys that were. Raises `UnavailableError`."""
    with reading(engine) as connection:
        if connection.execute(select(_key.principal).where(_key.expires_at <= now).limit(1)).first() is None:
            return 0
    with writing(engine) as connection:
        return connection.execute(delete(idempotency_keys).where(_key.expires_at <= now)).rowcount
