"""The ledger against brokers: everything committed arrives once, whoever stops, crashes or takes over."""

import asyncio

import pytest

from milepost.core.outputs import Output
from milepost.kafka.clients import KafkaGroupConsumer
from milepost.ledger.service import PositionError
from milepost.ledger.wiring import ledger_service
from milepost.observe.hosting import StoppedError
from milepost.settings import Settings
from milepost.sql import queries
from milepost.sql.engine import Engine
from milepost.sql.reading import LedgerReading
from tests.ledger import made
from tests.ledger.publishing import lines, publisher, running, spread


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def servers(request: pytest.FixtureRequest) -> str:
    """The same tests on the embedded broker and on a real one."""
    found: str = request.getfixturevalue("embedded_broker" if request.param == "embedded" else "real_kafka")
    return found


async def test_what_is_committed_arrives(settings: Settings, engine: Engine) -> None:
    first, status = made.line(), made.status(state="BILLED", missing=(), at_stake_minor=0)
    everything: list[Output] = [first, made.retention(first), made.request(), made.status(), status, made.audit()]
    async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out, running(settings) as ledger:
        records = [made.record(output, 0, 1, 12) for output in everything]
        await out.commit([*spread(lines(100)), *records, made.dead_letter(0, 3)])
        assert await ledger.wait_until_caught_up(60)
        reading = LedgerReading(engine)
        assert {line.line_id: line for line in reading.lines()} == {line.line_id: line for line in [*lines(100), first]}
        assert reading.statuses() == [status]
        assert (len(reading.requests()), len(reading.audit()), len(reading.dead_letters())) == (1, 1, 1)
        assert queries.sink_positions(engine)[f"{settings.topic_prefix}invoice-lines", 1] == (26, 12)
        await out.commit(spread(lines(40, "b"), 13))
        assert await ledger.wait_until_caught_up(60)
        assert len(reading.lines()) == 141


async def test_a_stopped_ledger_goes_on_where_it_was(settings: Settings, engine: Engine) -> None:
    async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out:
        for batch in ("a", "b"):
            await out.commit(spread(lines(50, batch)))
            async with running(settings) as ledger:
                assert await ledger.wait_until_caught_up(60)
            assert not await ledger.caught_up()
    assert len(LedgerReading(engine).lines()) == 100


async def test_reading_the_topics_again_changes_nothing(settings: Settings, engine: Engine) -> None:
    async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out:
        await out.commit([*spread(lines(60)), *spread([made.status(state="BILLED"), made.status(), made.audit()])])
    dumps = []
    for _ in range(2):
        async with running(settings) as ledger:
            assert await ledger.wait_until_caught_up(60)
        dumps.append((LedgerReading(engine).lines(), LedgerReading(engine).statuses(), LedgerReading(engine).audit()))
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM sink_offsets")
    assert dumps[0] == dumps[1]
    assert len(dumps[0][0]) == 60


async def test_an_offset_beyond_the_topic_stops_the_ledger(settings: Settings, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO sink_offsets VALUES ('{settings.topic_prefix}invoice-lines', 2, 77, NULL)"  # noqa: S608
        )
    with pytest.raises(
        PositionError, match=r"invoice-lines\[2\] ends at 0, .* goes on at 77: the topic was created anew"
    ):
        await asyncio.wait_for(ledger_service(settings).run(), 60)


async def test_a_ledger_whose_client_has_ended_ends_and_says_so(settings: Settings) -> None:
    ledger = ledger_service(settings)
    task = asyncio.create_task(ledger.run())
    assert await ledger.wait_until_caught_up(60)
    consumer = ledger._consumer
    assert isinstance(consumer, KafkaGroupConsumer)
    consumer._client()._client._sync_task.cancel()
    with pytest.raises(StoppedError, match="the Kafka client fetches no metadata any more"):
        await task
