"""From the topics to what is owed: committed records, each of them, whoever stops, crashes, rebalances or is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from milepost.codec.wire import Record
from milepost.kafka.admin import Topics
from milepost.notices import transport as transports
from milepost.notices.messages import TOPICS, UnreadableError
from milepost.notices.reading import application
from milepost.notices.service import Notices
from milepost.notices.transport import StoredConsumer
from milepost.notices.wiring import notices_service
from milepost.settings import Settings
from milepost.sql.engine import Engine
from milepost.sql.notice_log import Delivery, Selection, deliveries
from tests.ledger import made
from tests.ledger.publishing import PARTITIONS, publisher
from tests.notices.mailing import mailbox
from tests.notices.world import World, settings_with
from tests.postgres import PostgresServer

WAIT_S = 90


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def servers(request: pytest.FixtureRequest) -> str:
    """The same tests on the embedded broker and on a real one."""
    found: str = request.getfixturevalue("embedded_broker" if request.param == "embedded" else "real_kafka")
    return found


def settings_on(servers: str, prefix: str, engine: Engine, **changes: object) -> Settings:
    """Settings for an instance with topics of its own, whose mail server nobody is."""
    settings = settings_with(
        bootstrap_servers=servers,
        topic_prefix=prefix,
        notices_group=f"{prefix}notices",
        session_timeout_ms=6_000,
        heartbeat_interval_ms=500,
        database_url=engine.url.render_as_string(hide_password=False),
        **{"smtp_host": "127.0.0.1", "smtp_port": 9, **changes},
    )
    Topics(settings).apply()
    return settings


@pytest.fixture
def settings_of(embedded_broker: str, topic_prefix: str, local: Engine) -> Callable[..., Settings]:
    return partial(settings_on, embedded_broker, topic_prefix, local)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Notices]:
    """An instance at work in this process; stopped in good order at the end."""
    service = notices_service(settings)
    task = asyncio.create_task(service.run())
    try:
        yield service
    finally:
        service.stop()
        await asyncio.wait_for(task, WAIT_S)


def requests(count: int, batch: str) -> list[Record]:
    """Requests to one person each, on all partitions in turn."""
    return [
        made.record(made.request(f"{batch}-{n}", request_id=f"{batch}-{n}", people=("ann",)), 0, n % PARTITIONS)
        for n in range(count)
    ]


def owed(engine: Engine) -> list[Delivery]:
    return deliveries(engine, Selection(), 100_000)


async def until_owed(engine: Engine, count: int) -> None:
    until = time.monotonic() + WAIT_S
    while (found := len(await asyncio.to_thread(owed, engine))) < count:
        assert time.monotonic() < until, f"{found} of {count} are owed"
        await asyncio.sleep(0.05)


async def committed(settings: Settings) -> dict[tuple[str, int], int]:
    """The group's offsets."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        places = [TopicPartition(settings.topic(topic), number) for topic in TOPICS for number in range(PARTITIONS)]
        found = await admin.list_consumer_group_offsets(settings.notices_group, partitions=places)
    finally:
        await admin.close()
    return {
        (place.topic.removeprefix(settings.topic_prefix), place.partition): note.offset
        for place, note in found.items()
        if note.offset >= 0
    }


async def test_every_topic_is_read_and_nothing_is_read_twice(servers: str, topic_prefix: str, local: Engine) -> None:
    settings = settings_on(
        servers, topic_prefix, local, notices_retention_to="cfo@x.test", notices_dead_letters_to="ops@x.test"
    )
    retained = [made.record(made.retention(made.line(f"e{n}")), 0, n % PARTITIONS) for n in range(8)]
    dead = [made.dead_letter(0, n % PARTITIONS, value=None if n == 5 else b"x") for n in range(8)]
    async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out:
        await out.commit([*requests(20, "a"), *retained, *dead])
        async with running(settings):
            await until_owed(local, 36)
            await out.commit(requests(20, "b"))
            await until_owed(local, 56)
        offsets = await committed(settings)
        assert sum(offset for (topic, _), offset in offsets.items() if topic == "approval-requests") >= 40
        first = {row.delivery_id: row.attempts for row in owed(local)}
        await out.commit(requests(4, "c"))
        async with running(settings):  # goes on where it was
            await until_owed(local, 60)
    assert first.keys() < {row.delivery_id for row in owed(local)}
    assert {row.topic for row in owed(local)} == set(TOPICS)


async def test_a_record_that_comes_again_owes_nothing_more(settings_of: Callable[..., Settings], local: Engine) -> None:
    """The same outputs at other offsets, and the same offsets again in another group: nothing new, nothing undone."""
    async with mailbox() as box:
        settings = settings_of(smtp_port=box.port)
        World(local, settings).keep(ann="ann@x.test")
        async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out:
            await out.commit(requests(10, "a"))
            async with running(settings):
                await until_owed(local, 10)
                until = time.monotonic() + WAIT_S
                while len(box.received) < 10 and time.monotonic() < until:
                    await asyncio.sleep(0.05)
            await out.commit([*requests(10, "a"), *requests(1, "b")])
            again = settings.model_copy(update={"notices_group": f"{settings.notices_group}-2"})
            async with running(again):
                await until_owed(local, 11)
        assert len(owed(local)) == 11
        assert len(box.to("ann@x.test")) in (10, 11)
        assert len({message["Message-ID"] for message in box.received}) == len(box.received)


@pytest.mark.kafka
async def test_aborted_records_are_told_to_nobody(
    real_kafka: str, topic_prefix: str, local: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust alone delivers them (the embedded broker hides nothing from anybody, so only a real one can show it)."""
    settings = settings_on(real_kafka, topic_prefix, local)
    async with publisher(real_kafka, topic_prefix) as out:
        await out.commit(requests(4, "good"))
        await out.abort(requests(8, "aborted"))
        await out.commit(requests(4, "later"))
        async with running(settings):
            await until_owed(local, 8)
            await out.begin(requests(4, "open"))
            await asyncio.sleep(2)
            assert {row.engagement_id.partition("-")[0] for row in owed(local) if row.engagement_id} == {
                "good",
                "later",
            }
            await out.finish()
            await until_owed(local, 12)
        assert await committed(settings) == await ends(settings, 4)
        # As Faust has it they arrive, so that something was shown.
        monkeypatch.setattr(transports, "ISOLATION", "read_uncommitted")
        async with running(settings.model_copy(update={"notices_group": f"{topic_prefix}stock"})):
            await until_owed(local, 20)


async def ends(settings: Settings, partitions: int) -> dict[tuple[str, int], int]:
    """Where the last record of `approval-requests` is, plus one, by partition: markers are behind it."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    topic = settings.topic("approval-requests")
    places = [TopicPartition(topic, number) for number in range(partitions)]
    consumer.assign(places)
    found: dict[tuple[str, int], int] = {}
    stop = await consumer.end_offsets(places)
    until = time.monotonic() + 30
    try:
        while time.monotonic() < until:
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                found["approval-requests", place.partition] = records[-1].offset + 1
            if all([await consumer.position(place) >= stop[place] for place in places]):
                break
    finally:
        await consumer.stop()
    return found


@pytest.mark.kafka
async def test_instances_come_and_go_and_everything_is_owed(real_kafka: str, topic_prefix: str, local: Engine) -> None:
    """Rebalances while records come in: what one instance had taken and not stored, another one reads again."""
    settings = settings_on(real_kafka, topic_prefix, local)
    async with publisher(real_kafka, topic_prefix) as out, running(settings):
        for batch in range(6):
            if batch % 2:
                async with running(settings):
                    for part in range(5):
                        await out.commit(requests(40, f"{batch}.{part}"))
                        await asyncio.sleep(0.4)
            else:
                await out.commit(requests(200, str(batch)))
        await until_owed(local, 1_200)
    assert len(owed(local)) == 1_200


@pytest.mark.postgres
async def test_while_the_database_is_away_nothing_counts_as_read(
    embedded_broker: str, topic_prefix: str, postgresql_server: PostgresServer, on_postgresql: Engine
) -> None:
    settings = settings_on(embedded_broker, topic_prefix, on_postgresql)
    async with publisher(embedded_broker, topic_prefix) as out, running(settings):
        await out.commit(requests(8, "a"))
        await until_owed(on_postgresql, 8)
        await asyncio.to_thread(postgresql_server.stop)
        try:
            await out.commit(requests(8, "b"))
            await asyncio.sleep(3)
            counted = sum((await committed(settings)).values())
        finally:
            await asyncio.to_thread(postgresql_server.start)
        await until_owed(on_postgresql, 16)
    assert counted <= 8 + PARTITIONS  # what "a" and its markers moved


async def test_a_record_that_cannot_be_read_stops_the_process(
    settings_of: Callable[..., Settings], local: Engine
) -> None:
    settings = settings_of()
    async with publisher(settings.bootstrap_servers, settings.topic_prefix) as out:
        await out.commit([Record("approval-requests", 1, 0, 0, b"k", b"no Avro")])
    with pytest.raises(UnreadableError, match=r"approval-requests\[1\] offset 0 cannot be read"):
        await asyncio.wait_for(notices_service(settings).run(), WAIT_S)
    assert owed(local) == []


async def test_what_faust_is_through_with_moves_no_offset() -> None:
    """Faust counts records as done that it drops at a rebalance, and would commit past those before them."""
    app = application(settings_with(), False, len, lambda: None, lambda error: None)
    place = TP("approval-requests", 0)
    app.topics.acking_topics.add(place.topic)
    stock = driver.Transport(app.conf.broker_consumer, app)
    offsets = []
    for transport in (stock, app.transport):
        callbacks = {"on_partitions_revoked": print, "on_partitions_assigned": print}
        consumer = transport.create_consumer(print, **callbacks)
        dropped = ConsumerMessage(place.topic, 0, 17, 0.0, 0, (), b"k", b"v", None, 1, 1, place)
        consumer.ack(dropped)
        offsets.append(consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks()))
        consumer._thread.thread_loop.close()
    assert offsets == [{place: 18}, {}]
    assert isinstance(consumer, StoredConsumer)
    consumer.note_stored([dropped])
    assert consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks()) == {place: 18}
