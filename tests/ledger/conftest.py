"""Ledgers on the module's brokers, with topics of their own."""

from collections.abc import Callable

import pytest

from milepost.kafka.admin import Topics
from milepost.settings import Settings, load


@pytest.fixture
def settings_of(servers: str, topic_prefix: str) -> Callable[[str], Settings]:
    """Settings for a database's URL: a ledger on the module's `servers`, with topics of its own."""

    def make(database_url: str) -> Settings:
        settings = load(
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

    return make


@pytest.fixture
def settings(settings_of: Callable[[str], Settings], database_url: str) -> Settings:
    """For a ledger on the module's `servers` and either database."""
    return settings_of(database_url)
