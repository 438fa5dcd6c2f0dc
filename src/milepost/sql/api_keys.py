"""API keys as rows: made, found, listed, revoked; the secret itself is never here, only its SHA-256."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, insert, select, update

from milepost.sql import gateway_tables as tables
from milepost.sql.engine import reading, writing

__all__ = ["ACTIVE_BY_NAME", "ApiKey", "TooManyKeysError", "add_key", "find_key", "keys", "note_use", "revoke_key"]

# The old one and the new one, for as long as a rotation takes.
ACTIVE_BY_NAME = 2


@dataclass(frozen=True)
class ApiKey:
    """One key: what it is for, what it may do, and when. Instants are microseconds; `engagements` are glob patterns."""

    key_id: str
    name: str
    tenant: str
    engagements: tuple[str, ...]
    actions: tuple[str, ...]
    person: str | None
    roles: tuple[str, ...]
    secret_sha256: str
    created_at: int
    expires_at: int
    revoked_at: int | None = None
    last_used_at: int | None = None

    def active(self, now: int) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and now < self.expires_at


class TooManyKeysError(Exception):
    """Two keys of that name are active; one has to be revoked first."""


def add_key(engine: Engine, key: ApiKey) -> None:
    """Store a new key. Raises `TooManyKeysError`, `UnavailableError`."""
    column = tables.api_keys.c
    active = (column.name == key.name) & column.revoked_at.is_(None) & (column.expires_at > key.created_at)
    with writing(engine) as connection:
        count = connection.execute(select(func.count()).select_from(tables.api_keys).where(active)).scalar_one()
        if count >= ACTIVE_BY_NAME:
            raise TooManyKeysError(
                f"{count} keys named {key.name!r} are active, enough for a rotation; revoke the older one first"
            )
        row = {name: getattr(key, name) for name in tables.api_keys.columns.keys()}  # noqa: SIM118
        connection.execute(insert(tables.api_keys).values({**row, **_lists(key)}))


def _lists(key: ApiKey) -> dict[str, list[str]]:
    return {name: list(getattr(key, name)) for name in ("engagements", "actions", "roles")}


def find_key(engine: Engine, key_id: str) -> ApiKey | None:
    """The key of that id, active or not. Raises `UnavailableError`."""
    found = _select(engine, key_id)
    return found[0] if found else None


def keys(engine: Engine) -> list[ApiKey]:
    """Every key, in the order in which they were made. Raises `UnavailableError`."""
    return _select(engine, None)


def _select(engine: Engine, key_id: str | None) -> list[ApiKey]:
    query = select(tables.api_keys).order_by(tables.api_keys.c.created_at, tables.api_keys.c.key_id)
    if key_id is not None:
        query = query.where(tables.api_keys.c.key_id == key_id)
    with reading(engine) as connection:
        return [_key(dict(row)) for row in connection.execute(query).mappings()]


def _key(row: dict[str, Any]) -> ApiKey:
    lists: dict[str, Any] = {name: tuple(row[name]) for name in ("engagements", "actions", "roles")}
    return ApiKey(**{**row, **lists})


def revoke_key(engine: Engine, key_id: str, now: int) -> bool:
    """Revoke a key; False when there is none of that id. One that is revoked stays as it was."""
    column = tables.api_keys.c
    with writing(engine) as connection:
        connection.execute(
            update(tables.api_keys)
            .where((column.key_id == key_id) & column.revoked_at.is_(None))
            .values(revoked_at=now)
        )
        return connection.execute(select(column.key_id).where(column.key_id == key_id)).first() is not None


def note_use(engine: Engine, key_id: str, now: int) -> None:
    """Keep when a key was last used; an earlier time than the one that is kept changes nothing."""
    column = tables.api_keys.c
    older = column.last_used_at.is_(None) | (column.last_used_at < now)
    with writing(engine) as connection:
        connection.execute(update(tables.api_keys).where((column.key_id == key_id) & older).values(last_used_at=now))
