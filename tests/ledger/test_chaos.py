"""Ledgers that are killed and frozen, and a PostgreSQL that crashes, while lines flow: none missing, none twice."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from milepost.settings import Settings
from milepost.sql import queries, tables
from milepost.sql.engine import Engine, UnavailableError, connect
from milepost.sql.migrations import migrate
from milepost.sql.reading import LedgerReading
from tests.ledger.publishing import PARTITIONS, lines, publisher, running, spread
from tests.postgres import PostgresServer, running_postgres

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parent.parent.parent
# A ledger as a process; FATE says at which of its SQL commits it kills or freezes itself, and on which side of it.
PROCESS = """
import os, signal, sys
from sqlalchemy import Engine, event
from consumers.ledger import main

signal_name, place, number = os.environ["FATE"].split()
seen = 0

def strike(connection):
    global seen
    seen += connection.get_execution_options().get("milepost_writes", False)
    if seen == int(number):
        os.kill(os.getpid(), getattr(signal, signal_name))

if place == "before":
    event.listen(Engine, "commit", strike)
elif place == "after":
    event.listen(Engine, "begin", strike)  # the commit before this one is through
sys.exit(main())
"""


def started(settings: Settings, fate: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "MILEPOST_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "MILEPOST_TOPIC_PREFIX": settings.topic_prefix,
        "MILEPOST_LEDGER_GROUP": settings.ledger_group,
        "MILEPOST_DATABASE_URL": settings.database_url.get_secret_value(),
        "MILEPOST_SESSION_TIMEOUT_MS": "2000",
        "MILEPOST_HEARTBEAT_INTERVAL_MS": "300",
        # Small batches: many transactions, so many moments to be killed at.
        "MILEPOST_MAX_RECORDS": "40",
        "FATE": fate,
    }
    return subprocess.Popen([sys.executable, "-c", PROCESS], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process is gone at the end, whatever happened."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@asynccontextmanager
async def flowing(settings: Settings, batches: int, pause_s: float) -> AsyncIterator[asyncio.Task[None]]:
    """40 lines a transaction, now and then an aborted one, while the block does its worst."""

    async def flow() -> None:
        async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out:
            for number in range(batches):
                await out.commit(spread(lines(40, str(number)), number + 1))
                if number % 5 == 0:
                    await out.abort(spread(lines(40, "aborted")))
                await asyncio.sleep(pause_s)

    task = asyncio.create_task(flow())
    yield task
    await task


def check(engine: Engine, settings: Settings, batches: int) -> None:
    """Exactly the committed lines, to the cent, and offsets that fit them."""
    found = LedgerReading(engine).lines()
    expected = {line.line_id: line for batch in range(batches) for line in lines(40, str(batch))}
    assert {line.line_id for line in found} == set(expected)
    assert len(found) == len(expected)
    assert sum(line.gross_minor for line in found) == batches * 820
    positions = queries.sink_positions(engine)
    rows = queries.rows(engine, tables.invoice_lines)
    for partition in range(PARTITIONS):
        last = max(row["record_offset"] for row in rows if row["record_partition"] == partition)
        assert positions[f"{settings.topic_prefix}invoice-lines", partition] == (last + 1, batches)


@pytest.fixture
def servers(real_kafka: str) -> str:
    return real_kafka


@pytest.mark.kafka
async def test_a_ledger_killed_at_and_between_its_commits(settings: Settings, engine: Engine) -> None:
    batches, chance = 60, random.Random(7)
    fates = [f"SIGKILL {place} {number}" for place in ("before", "after") for number in (2, 3, 7)]
    async with flowing(settings, batches, 0.2) as flow:
        for fate in [*fates, "none never 0", "none never 0"]:
            with ended(started(settings, fate)) as process:
                if fate.startswith("SIGKILL"):
                    assert await asyncio.to_thread(process.wait, 60) == -signal.SIGKILL
                else:
                    await asyncio.sleep(4 + chance.random() * 2)
        await flow
        async with running(settings) as ledger:
            assert await ledger.wait_until_caught_up(90)
    check(engine, settings, batches)


@pytest.mark.kafka
@pytest.mark.postgres
async def test_a_ledger_frozen_inside_its_transaction_is_taken_over(
    postgresql_url: str, settings_of: Callable[[str], Settings]
) -> None:
    """Its row locks die with its session; when it wakes up it stores nothing, starts over and takes part again."""
    settings = settings_of(postgresql_url)
    engine, batches = connect(postgresql_url), 40
    with ended(started(settings, "SIGSTOP before 4")) as frozen:
        async with flowing(settings, batches, 0.3) as flow, asyncio.timeout(200):
            await asyncio.to_thread(os.waitpid, frozen.pid, os.WUNTRACED)
            async with running(settings) as other:
                await flow
                assert await other.wait_until_caught_up(90)
                check(engine, settings, batches)
                frozen.send_signal(signal.SIGCONT)
                await asyncio.sleep(5)
                assert frozen.poll() is None
                assert await other.wait_until_caught_up(90)
                check(engine, settings, batches)
    engine.dispose()


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that only this module disturbs."""
    with running_postgres() as server:
        yield server


@pytest.mark.kafka
@pytest.mark.postgres
async def test_postgresql_crashes_and_nothing_is_lost(
    own_server: PostgresServer, settings_of: Callable[[str], Settings]
) -> None:
    url = own_server.create_database()
    settings, batches = settings_of(url), 60
    async with running(settings) as ledger, flowing(settings, batches, 0.2) as flow:
        for _ in range(3):
            await asyncio.sleep(2)
            await asyncio.to_thread(own_server.restart, "immediate")
        await asyncio.sleep(1)
        await asyncio.to_thread(own_server.stop, "immediate")
        await asyncio.sleep(3)
        with pytest.raises(UnavailableError, match="connection to server on socket"):
            await asyncio.to_thread(migrate, connect(url))
        await asyncio.to_thread(own_server.start)
        await flow
        assert await ledger.wait_until_caught_up(90)
    engine = connect(url)
    check(engine, settings, batches)
    engine.dispose()
