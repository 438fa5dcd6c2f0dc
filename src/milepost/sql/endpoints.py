"""Endpoints: where webhooks go, which ones, and whether the endpoint takes any at the moment."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, func, insert, select, update

from milepost.sql.engine import reading, writing
from milepost.sql.notice_tables import notice_endpoints, notices
from milepost.sql.notices import FAILED, OWED, WITHDRAWN

__all__ = [
    "Endpoint",
    "SigningKey",
    "add_endpoint",
    "disable_endpoint",
    "enable_endpoint",
    "endpoint_of",
    "endpoints",
    "pause_endpoint",
    "remove_endpoint",
    "replace_keys",
]

_endpoint = notice_endpoints.c


@dataclass(frozen=True)
class SigningKey:
    """What a signing secret is derived from: `key_id` names the setting's secret, `nonce` is 32 random bytes in hex.

    `scheme` is v1 or v1a; from `expires_at` on (microseconds; None: never) nothing is signed with it any more.
    """

    scheme: str
    key_id: str
    nonce: str
    created_at: int
    expires_at: int | None = None


@dataclass(frozen=True)
class Endpoint:
    """One endpoint. `types` and `engagements` are glob patterns: what it is sent matches one of each."""

    endpoint_id: str
    url: str
    types: tuple[str, ...]
    engagements: tuple[str, ...]
    signing_keys: tuple[SigningKey, ...]
    created_at: int
    disabled_at: int | None = None
    disabled_why: str | None = None
    paused_until: int | None = None

    def takes(self, kind: str, engagement: str | None) -> bool:
        """Whether it is sent webhooks of that type about that engagement (None: about none that is known)."""
        return any(fnmatchcase(kind, pattern) for pattern in self.types) and any(
            pattern == "*" or fnmatchcase(engagement or "", pattern) for pattern in self.engagements
        )


def add_endpoint(engine: Engine, endpoint: Endpoint) -> None:
    """Store a new endpoint. Raises `UnavailableError`."""
    lists = {"types": list(endpoint.types), "engagements": list(endpoint.engagements)}
    row = {**asdict(endpoint), **lists, "signing_keys": _stored(endpoint.signing_keys)}
    with writing(engine) as connection:
        connection.execute(insert(notice_endpoints).values(**row))


def endpoints(engine: Engine) -> list[Endpoint]:
    """Every endpoint, in the order in which they were added. Raises `UnavailableError`."""
    with reading(engine) as connection:
        query = select(notice_endpoints).order_by(_endpoint.created_at, _endpoint.endpoint_id)
        return [_read(row) for row in connection.execute(query)]


def endpoint_of(engine: Engine, endpoint_id: str) -> Endpoint | None:
    """The endpoint of that id. Raises `UnavailableError`."""
    with reading(engine) as connection:
        row = connection.execute(select(notice_endpoints).where(_endpoint.endpoint_id == endpoint_id)).first()
        return None if row is None else _read(row)


def replace_keys(engine: Engine, endpoint_id: str, signing_keys: Sequence[SigningKey]) -> None:
    """Sign with these from now on. Raises `UnavailableError`."""
    with writing(engine) as connection:
        where = _endpoint.endpoint_id == endpoint_id
        connection.execute(update(notice_endpoints).where(where).values(signing_keys=_stored(signing_keys)))


def pause_endpoint(engine: Engine, endpoint_id: str, until: int) -> None:
    """Send it nothing before that instant, or a later one that it has already. Raises `UnavailableError`."""
    later = func.coalesce(_endpoint.paused_until, 0) < until
    with writing(engine) as connection:
        where = and_(_endpoint.endpoint_id == endpoint_id, later)
        connection.execute(update(notice_endpoints).where(where).values(paused_until=until))


def disable_endpoint(engine: Engine, endpoint_id: str, why: str, now: int) -> int:
    """Send it nothing more until it is enabled; what it was owed has failed, for a replay. How many that were.

    One that is disabled already stays as it was. Raises `UnavailableError`.
    """
    with writing(engine) as connection:
        where = and_(_endpoint.endpoint_id == endpoint_id, _endpoint.disabled_at.is_(None))
        connection.execute(update(notice_endpoints).where(where).values(disabled_at=now, disabled_why=why))
        return _end_owed(connection, endpoint_id, FAILED, f"the endpoint is disabled: {why}", now)


def enable_endpoint(engine: Engine, endpoint_id: str) -> bool:
    """Send to it again; False where there is none of that id. Raises `UnavailableError`."""
    again = {"disabled_at": None, "disabled_why": None, "paused_until": None}
    with writing(engine) as connection:
        where = _endpoint.endpoint_id == endpoint_id
        return bool(connection.execute(update(notice_endpoints).where(where).values(**again)).rowcount)


def remove_endpoint(engine: Engine, endpoint_id: str, now: int) -> bool:
    """Forget it; what it was owed is withdrawn. False where there is none. Raises `UnavailableError`."""
    with writing(engine) as connection:
        _end_owed(connection, endpoint_id, WITHDRAWN, "the endpoint was removed", now)
        return bool(connection.execute(delete(notice_endpoints).where(_endpoint.endpoint_id == endpoint_id)).rowcount)


def _end_owed(connection: Connection, endpoint_id: str, state: str, reason: str, now: int) -> int:
    notice = notices.c
    owed = and_(notice.channel == "webhook", notice.recipient == endpoint_id, notice.state == OWED)
    # One that is being sent at the moment ends by itself.
    free = notice.claimed_by.is_(None)
    ended = {"state": state, "reason": reason, "ended_at": now}
    return connection.execute(update(notices).where(owed, free).values(**ended)).rowcount


def _stored(signing_keys: Sequence[SigningKey]) -> list[dict[str, Any]]:
    return [asdict(key) for key in signing_keys]


def _read(row: Row[Any]) -> Endpoint:
    values = dict(row._mapping)
    values |= {name: tuple(values[name]) for name in ("types", "engagements")}
    return Endpoint(**{**values, "signing_keys": tuple(SigningKey(**key) for key in values["signing_keys"])})
