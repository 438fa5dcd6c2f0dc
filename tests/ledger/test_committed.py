"""What only real Kafka can show: nothing aborted or open is stored, and ledgers share and hand over partitions."""

import asyncio

import pytest

from milepost.settings import Settings
from milepost.sql import queries
from milepost.sql.engine import Engine
from milepost.sql.reading import LedgerReading
from tests.ledger.publishing import Publisher, lines, publisher, running, spread

pytestmark = pytest.mark.kafka


@pytest.fixture
def servers(real_kafka: str) -> str:
    return real_kafka


async def has_lines(engine: Engine, count: int) -> None:
    """Wait until the ledger has that many lines."""

    def found() -> int:
        return len(LedgerReading(engine).lines())

    async with asyncio.timeout(60):
        while await asyncio.to_thread(found) != count:
            await asyncio.sleep(0.1)


async def test_aborted_records_are_never_stored(settings: Settings, engine: Engine) -> None:
    async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out, running(settings) as ledger:
        await out.commit(spread(lines(40, "a")))
        await out.abort(spread(lines(40, "lost")))
        await out.commit(spread(lines(40, "b")))
        await out.abort(spread(lines(40, "lost")))
        # Markers and aborted records at the very end must not keep it from being done.
        assert await ledger.wait_until_caught_up(60)
    expected = {line.line_id for batch in "ab" for line in lines(40, batch)}
    assert {line.line_id for line in LedgerReading(engine).lines()} == expected
    # Per partition: 10 lines, a marker, 10 aborted, a marker, 10 lines: the offset is the last line's, plus one.
    assert queries.sink_positions(engine)[f"{settings.topic_prefix}invoice-lines", 2] == (32, 1)


async def test_an_open_transaction_waits_for_its_commit(settings: Settings, engine: Engine) -> None:
    async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out, running(settings) as ledger:
        await out.commit(spread(lines(4, "a")))
        assert await ledger.wait_until_caught_up(60)
        await out.begin(spread(lines(4, "open")))
        await asyncio.sleep(0.5)
        # Caught up with what is committed; the open records count for nothing.
        assert await ledger.caught_up()
        assert len(LedgerReading(engine).lines()) == 4
        await out.finish()
        assert await ledger.wait_until_caught_up(60)
        assert len(LedgerReading(engine).lines()) == 8


async def test_two_ledgers_share_the_partitions(settings: Settings, engine: Engine) -> None:
    async def batches(out: Publisher, names: str) -> None:
        for name in names:
            await out.commit(spread(lines(100, name)))

    async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out, running(settings) as one:
        await batches(out, "a")
        await has_lines(engine, 100)
        async with running(settings) as other:
            await batches(out, "bcdefg")
            await has_lines(engine, 700)
            assert await other.wait_until_caught_up(60)
            assert await one.wait_until_caught_up(60)
        await batches(out, "h")
        await has_lines(engine, 800)
    assert sum(line.gross_minor for line in LedgerReading(engine).lines()) == 8 * 5050
