"""Every test that asks for `database_url` runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.kafka.admin import Topics
from milepost.settings import Settings
from milepost.sql.engine import Engine, connect
from milepost.sql.migrations import migrate


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A migrated, empty ledger."""
    engine = connect(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def settings(servers: str, topic_prefix: str, database_url: str) -> Settings:
    """For a ledger on the module's `servers`, with topics of its own."""
    settings = Settings(
        bootstrap_servers=servers,
        topic_prefix=topic_prefix,
        ledger_group=f"{topic_prefix}ledger",
        database_url=database_url,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=500,
        poll_timeout_ms=20,
    )
    Topics(settings).apply()
    return settings
