"""A ledger whose surroundings are away says what it waits for, and stops when it is asked to."""

import asyncio
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from milepost.kafka.admin import Topics
from milepost.ledger.wiring import ledger_service
from milepost.observe.hosting import StoppedError
from milepost.settings import load
from tests.brokers import free_ports
from tests.ledger.publishing import running
from tests.postgres import PORT

Entry = MutableMapping[str, Any]


async def logged(entries: list[Entry], wanted: Callable[[Entry], bool]) -> Entry:
    """The first entry that is wanted, once there is one."""
    async with asyncio.timeout(60):
        while not (found := [entry for entry in entries if wanted(entry)]):
            await asyncio.sleep(0.05)
    return found[0]


async def test_without_a_broker_it_names_the_address(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_ports(1)}"
    settings = load(bootstrap_servers=address, database_url=f"sqlite:///{tmp_path / 'l.db'}")
    with structlog.testing.capture_logs() as entries:
        async with running(settings) as ledger:
            entry = await logged(entries, lambda entry: entry["event"] == "waiting for Kafka")
            assert not await ledger.wait_until_caught_up(0.1)
    assert address in entry["found"]
    assert entry["log_level"] == "warning"


@pytest.mark.postgres
async def test_without_a_database_it_names_it_and_not_the_password(embedded_broker: str, tmp_path: Path) -> None:
    url = f"postgresql://ana:geheim@/l?host={tmp_path}&port={PORT}"
    with structlog.testing.capture_logs() as entries:
        async with running(load(bootstrap_servers=embedded_broker, database_url=url)):
            entry = await logged(entries, lambda entry: entry["event"] == "waiting for the database")
    assert str(tmp_path) in entry["found"]
    assert "geheim" not in str(entries)


@pytest.mark.kafka
async def test_topics_that_come_later_are_waited_for(real_kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'l.db'}"
    settings = load(
        bootstrap_servers=real_kafka, topic_prefix=topic_prefix, ledger_group=f"{topic_prefix}l", database_url=url
    )
    with structlog.testing.capture_logs() as entries:
        async with running(settings) as ledger:
            entry = await logged(entries, lambda entry: entry["event"] == "waiting for topics")
            assert f"{topic_prefix}invoice-lines" in entry["topics"]
            assert "topics apply" in entry["help"]
            await asyncio.to_thread(Topics(settings).apply)
            assert await ledger.wait_until_caught_up(60)


async def test_a_database_in_memory_is_refused_before_anything_starts() -> None:
    with pytest.raises(StoppedError, match="MILEPOST_DATABASE_URL names a SQLite database in memory"):
        ledger_service(load(database_url="sqlite://"))
