"""Whose an engagement is: its contract's parties, kept when it is opened through the gateway or first asked for."""

from collections.abc import Iterable

from sqlalchemy import Connection, Engine, func, insert, select

from milepost.sql.engine import reading, writing
from milepost.sql.gateway_tables import engagement_tenants
from milepost.sql.queries import taken_contracts

__all__ = ["add_tenants", "claim", "tenants_of", "without_tenants"]

_row = engagement_tenants.c


def add_tenants(engine: Engine, engagement: str, tenants: Iterable[str], now: int) -> None:
    """Let tenants know of an engagement; those that do already stay. Raises `UnavailableError`."""
    with writing(engine) as connection:
        _add(connection, engagement, set(tenants), now)


def claim(engine: Engine, engagement: str, claimant: str, tenants: Iterable[str], now: int) -> bool:
    """The same, unless the engagement is others' already: then False, and nothing is kept. Raises `UnavailableError`.

    Of two who claim one name at the same time, the second is refused.
    """
    with writing(engine) as connection:
        found = _add(connection, engagement, set(), now)
        if found and claimant not in found:
            return False
        _add(connection, engagement, set(tenants) | {claimant}, now)
        return True


def _add(connection: Connection, engagement: str, tenants: set[str], now: int) -> set[str]:
    if connection.dialect.name == "postgresql":
        # SQLite has one writer anyway.
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(engagement))))
    found = set(connection.execute(select(_row.tenant).where(_row.engagement_id == engagement)).scalars())
    new = [{"engagement_id": engagement, "tenant": tenant, "since": now} for tenant in sorted(tenants - found)]
    if new:
        connection.execute(insert(engagement_tenants), new)
    return found


def tenants_of(engine: Engine, engagements: Iterable[str]) -> dict[str, set[str]]:
    """The tenants of each engagement that has any. Raises `UnavailableError`."""
    query = select(_row.engagement_id, _row.tenant).where(_row.engagement_id.in_(sorted(set(engagements))))
    found: dict[str, set[str]] = {}
    with reading(engine) as connection:
        for engagement, tenant in connection.execute(query):
            found.setdefault(engagement, set()).add(tenant)
    return found


def without_tenants(engine: Engine, engagements: Iterable[str] | None, most: int) -> dict[str, list[str]]:
    """Contract documents, as JSON text, of engagements that nobody was let know of: those given, or any `most`.

    Only what the join took counts: a document that was refused gives nobody a say. Raises `UnavailableError`.
    """
    known = select(_row.engagement_id).where(_row.engagement_id == taken_contracts.c.engagement_id).exists()
    query = select(taken_contracts.c.engagement_id, taken_contracts.c.contract).where(~known)
    if engagements is not None:
        query = query.where(taken_contracts.c.engagement_id.in_(sorted(set(engagements))))
    found: dict[str, list[str]] = {}
    with reading(engine) as connection:
        for engagement, text in connection.execute(query.limit(most)):
            found.setdefault(engagement, []).append(text)
    return found
