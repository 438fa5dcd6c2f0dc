"""Whose an engagement is: the parties of its contract, kept when it is opened through the gateway."""

from collections.abc import Iterable

from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from milepost.sql import gateway_tables as tables
from milepost.sql.engine import reading, writing

__all__ = ["add_tenants", "tenants_of"]


def add_tenants(engine: Engine, engagement: str, tenants: Iterable[str], now: int) -> None:
    """Let tenants know of an engagement; those that do already stay. Raises `UnavailableError`."""
    table = tables.engagement_tenants
    rows = [{"engagement_id": engagement, "tenant": tenant, "since": now} for tenant in sorted(set(tenants))]
    new = (postgresql_insert if engine.dialect.name == "postgresql" else sqlite_insert)(table)
    if rows:
        with writing(engine) as connection:
            connection.execute(new.on_conflict_do_nothing(index_elements=["engagement_id", "tenant"]), rows)


def tenants_of(engine: Engine, engagements: Iterable[str]) -> dict[str, set[str]]:
    """The tenants of each engagement that has any. Raises `UnavailableError`."""
    table = tables.engagement_tenants.c
    query = select(table.engagement_id, table.tenant).where(table.engagement_id.in_(sorted(set(engagements))))
    found: dict[str, set[str]] = {}
    with reading(engine) as connection:
        for engagement, tenant in connection.execute(query):
            found.setdefault(engagement, set()).add(tenant)
    return found
