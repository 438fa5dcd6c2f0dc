"""Endpoints that take webhooks, and their secrets. Blocks; may be used from several threads.

An endpoint that was revoked stays, so that its id is never given to somebody else; what it delivered stays as it is.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update

from milepost.sql.engine import reading, writing
from milepost.sql.sealing import Seal
from milepost.sql.webhook_tables import webhook_endpoints, webhook_secrets

__all__ = [
    "MAX_ACTIVE",
    "Endpoint",
    "EndpointExistsError",
    "Secret",
    "TooManySecretsError",
    "add_endpoint",
    "add_secret",
    "change_endpoint",
    "endpoints",
    "find_endpoint",
    "opened",
    "reseal",
    "revoke_endpoint",
    "secrets_of",
]

# The one in use, the one that replaces it, and one that a rotation which failed has left behind.
MAX_ACTIVE = 3
_MARK_LENGTH = 8

_endpoints, _secrets = webhook_endpoints.c, webhook_secrets.c


class EndpointExistsError(Exception):
    """An endpoint of that id exists, or existed; the message says what to do."""


class TooManySecretsError(Exception):
    """An endpoint has as many secrets in force as it may; the message says what to do."""


@dataclass(frozen=True)
class Endpoint:
    """What an endpoint is; `engagements` are glob patterns, `options` its adapter's."""

    endpoint_id: str
    tenant: str
    adapter: str
    proof: str
    engagements: tuple[str, ...]
    topics: tuple[str, ...]
    options: dict[str, Any]
    created_at: int
    revoked_at: int | None = None


@dataclass(frozen=True)
class Secret:
    """One secret of an endpoint as it is stored; `expires_at` None: in force until it is replaced."""

    number: int
    sealed: str
    mark: str
    created_at: int
    expires_at: int | None

    def in_force(self, now: int) -> bool:
        """Whether it proves anything at that instant."""
        return self.expires_at is None or now < self.expires_at


def add_endpoint(engine: Engine, endpoint: Endpoint, secret: str, seal: Seal) -> Secret:
    """Keep an endpoint with its first secret. Raises `EndpointExistsError`, `UnavailableError`."""
    with writing(engine) as connection:
        if _find(connection, endpoint.endpoint_id) is not None:
            raise EndpointExistsError(
                f"there is an endpoint {endpoint.endpoint_id!r}; `milepost webhooks list` shows it. Take another name: "
                "that of a revoked one is not given away again"
            )
        values = {name: getattr(endpoint, name) for name in endpoint.__dataclass_fields__}
        connection.execute(insert(webhook_endpoints).values(**values | _lists(endpoint)))
        return _add(connection, endpoint.endpoint_id, secret, seal, endpoint.created_at)


def change_endpoint(engine: Engine, endpoint: Endpoint) -> bool:
    """Give an endpoint other settings, its secrets stay; False if there is none. Raises `UnavailableError`."""
    changed = ("tenant", "adapter", "proof", "options")
    values = {name: getattr(endpoint, name) for name in changed} | _lists(endpoint)
    with writing(engine) as connection:
        where = (_endpoints.endpoint_id == endpoint.endpoint_id) & _endpoints.revoked_at.is_(None)
        return connection.execute(update(webhook_endpoints).where(where).values(**values)).rowcount > 0


def revoke_endpoint(engine: Engine, endpoint_id: str, now: int) -> bool:
    """Take nothing from it any more; False if there is none in force. Raises `UnavailableError`."""
    with writing(engine) as connection:
        where = (_endpoints.endpoint_id == endpoint_id) & _endpoints.revoked_at.is_(None)
        return connection.execute(update(webhook_endpoints).where(where).values(revoked_at=now)).rowcount > 0


def find_endpoint(engine: Engine, endpoint_id: str) -> tuple[Endpoint, list[Secret]] | None:
    """An endpoint and its secrets, expired ones included. Raises `UnavailableError`."""
    with reading(engine) as connection:
        endpoint = _find(connection, endpoint_id)
        return None if endpoint is None else (endpoint, _of(connection, endpoint_id))


def endpoints(engine: Engine) -> list[Endpoint]:
    """Every endpoint by its id. Raises `UnavailableError`."""
    with reading(engine) as connection:
        return [
            _endpoint(row) for row in connection.execute(select(webhook_endpoints).order_by(_endpoints.endpoint_id))
        ]


def secrets_of(engine: Engine, endpoint_id: str) -> list[Secret]:
    """Its secrets, the oldest first. Raises `UnavailableError`."""
    with reading(engine) as connection:
        return _of(connection, endpoint_id)


def add_secret(
    engine: Engine, endpoint_id: str, secret: str, seal: Seal, now: int, old_until: int
) -> tuple[Secret, list[Secret]]:
    """Keep a new secret; those in force end at `old_until` unless they do earlier. The new one, and the old ones.

    Raises KeyError without such an endpoint, `TooManySecretsError`, `UnavailableError`.
    """
    with writing(engine) as connection:
        found = _find(connection, endpoint_id)
        if found is None or found.revoked_at is not None:
            raise KeyError(endpoint_id)
        old = [one for one in _of(connection, endpoint_id) if one.in_force(now)]
        if len(old) >= MAX_ACTIVE and old_until > now:
            raise TooManySecretsError(
                f"{endpoint_id} has {len(old)} secrets in force; wait for one to end, or end all with --overlap-hours 0"
            )
        later = (_secrets.endpoint_id == endpoint_id) & (
            _secrets.expires_at.is_(None) | (_secrets.expires_at > old_until)
        )
        connection.execute(update(webhook_secrets).where(later).values(expires_at=old_until))
        return _add(connection, endpoint_id, secret, seal, now), old


def opened(secrets: Sequence[Secret], seal: Seal, now: int) -> list[str]:
    """The secrets in force as text. Raises `SealError`."""
    return [seal.open(secret.sealed) for secret in secrets if secret.in_force(now)]


def reseal(engine: Engine, seal: Seal) -> int:
    """Seal anew what an older secret of the server sealed; how many that were.

    Raises `SealError`, `UnavailableError`.
    """
    changed = 0
    with writing(engine) as connection:
        for row in connection.execute(select(webhook_secrets)).all():
            if not seal.current(row.sealed):
                which = (_secrets.endpoint_id == row.endpoint_id) & (_secrets.number == row.number)
                sealed = seal.seal(seal.open(row.sealed))
                connection.execute(update(webhook_secrets).where(which).values(sealed=sealed))
                changed += 1
    return changed


def _add(connection: Connection, endpoint_id: str, secret: str, seal: Seal, now: int) -> Secret:
    last = connection.execute(select(func.max(_secrets.number)).where(_secrets.endpoint_id == endpoint_id)).scalar()
    mark = hashlib.sha256(secret.encode()).hexdigest()[:_MARK_LENGTH]
    added = Secret((last or 0) + 1, seal.seal(secret), mark, now, None)
    connection.execute(insert(webhook_secrets).values(endpoint_id=endpoint_id, **vars(added)))
    return added


def _find(connection: Connection, endpoint_id: str) -> Endpoint | None:
    row = connection.execute(select(webhook_endpoints).where(_endpoints.endpoint_id == endpoint_id)).first()
    return None if row is None else _endpoint(row)


def _of(connection: Connection, endpoint_id: str) -> list[Secret]:
    query = select(webhook_secrets).where(_secrets.endpoint_id == endpoint_id).order_by(_secrets.number)
    return [
        Secret(row.number, row.sealed, row.mark, row.created_at, row.expires_at) for row in connection.execute(query)
    ]


def _lists(endpoint: Endpoint) -> dict[str, list[str]]:
    return {"engagements": list(endpoint.engagements), "topics": list(endpoint.topics)}


def _endpoint(row: Row[Any]) -> Endpoint:
    values = dict(row._mapping)
    return Endpoint(**values | {name: tuple(values[name]) for name in ("engagements", "topics")})
