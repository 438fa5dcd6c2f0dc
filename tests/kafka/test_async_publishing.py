"""A server's publisher: acknowledged or an error, in order, with rising timestamps; on both brokers."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from milepost.codec.records import key_of
from milepost.core.events import ClockTick, KpiEvent, MilestoneEvent
from milepost.kafka.admin import Topics
from milepost.kafka.async_publishing import (
    MAX_RECORD_BYTES,
    AsyncPublisher,
    PublishError,
    RecordTooLargeError,
)
from milepost.kafka.embedded import EmbeddedBroker
from milepost.kafka.stamps import KEPT, Stamps
from milepost.settings import Settings
from tests.gateway.serving import stored

BROKERS = [
    pytest.param("embedded_broker", id="embedded"),
    pytest.param("real_kafka", id="real", marks=pytest.mark.kafka),
]
TOPICS = ("kpi-events", "milestone-events")


@pytest.fixture(params=BROKERS)
def chosen(request: pytest.FixtureRequest, topic_prefix: str) -> Settings:
    found = Settings(bootstrap_servers=request.getfixturevalue(request.param), topic_prefix=topic_prefix)
    Topics(found).apply()
    return found


def kpi(number: int, engagement: str = "harbour") -> KpiEvent:
    return KpiEvent(f"e-{number}", "s", engagement, "uptime", "99.9", 1_000_000)


def report(number: int, engagement: str = "harbour", note: str = "") -> MilestoneEvent:
    return MilestoneEvent(
        f"r-{number}", "s", engagement, "design", "REPORTED", 1_000_000, attributes={"note": note} if note else {}
    )


async def test_what_is_returned_is_stored_where_it_says(chosen: Settings) -> None:
    publisher = AsyncPublisher(chosen, "test/sender", 30_000)
    try:
        events: list[Any] = [("kpi-events", kpi(n, f"e{n % 7}")) for n in range(200)]
        places = await publisher.publish(events, [("traceparent", b"x")])
        assert await publisher.publish([]) == []
        await publisher.reachable(TOPICS)
    finally:
        await publisher.close()
        await publisher.close()
    found = {
        (one.number, one.offset): one
        for one in stored(chosen.bootstrap_servers, "kpi-events", prefix=chosen.topic_prefix)
    }
    assert len(found) == len(places) == 200
    for place, (_, event) in zip(places, events, strict=True):
        record = found[place.partition, place.offset]
        assert record.event == event
        assert record.message.key() == key_of(event)
        assert dict(record.message.headers())["traceparent"] == b"x"
        assert dict(record.message.headers())["ce_source"] == b"s"
    by_engagement: dict[str, list[int]] = {}
    for _, record in sorted(found.items()):
        by_engagement.setdefault(record.event.engagement_id, []).append(int(record.event.event_id[2:]))
    assert all(numbers == sorted(numbers) for numbers in by_engagement.values())


async def test_timestamps_of_one_engagement_rise_over_topics_and_calls(chosen: Settings) -> None:
    publisher = AsyncPublisher(chosen, "test/sender", 30_000)
    try:
        for number in range(20):
            await publisher.publish([("milestone-events", report(number)), ("kpi-events", kpi(number))])
    finally:
        await publisher.close()
    stamps = {
        one.event.event_id: one.message.timestamp()[1]
        for topic in TOPICS
        for one in stored(chosen.bootstrap_servers, topic, prefix=chosen.topic_prefix)
    }
    in_order = [stamps[f"{kind}-{number}"] for number in range(20) for kind in ("r", "e")]
    assert in_order == sorted(set(in_order))


async def test_many_callers_share_batches_and_each_gets_its_own(chosen: Settings) -> None:
    publisher = AsyncPublisher(chosen, "test/sender", 30_000)
    try:
        found = await asyncio.gather(*(publisher.publish([("kpi-events", kpi(n, f"e{n}"))]) for n in range(300)))
    finally:
        await publisher.close()
    assert len({(place.partition, place.offset) for [place] in found}) == 300


async def test_an_event_that_is_too_large_stops_all_of_its_call_and_nothing_else(chosen: Settings) -> None:
    publisher = AsyncPublisher(chosen, "test/sender", 30_000)
    try:
        with pytest.raises(RecordTooLargeError, match=str(MAX_RECORD_BYTES)) as refused:
            await publisher.publish([("kpi-events", kpi(1)), ("milestone-events", report(1, note="x" * 1_000_001))])
        largest = report(2, note="x" * (MAX_RECORD_BYTES - 200))
        assert len(await publisher.publish([("milestone-events", largest)])) == 1
    finally:
        await publisher.close()
    assert refused.value.place == 1
    assert stored(chosen.bootstrap_servers, "kpi-events", prefix=chosen.topic_prefix) == []


async def test_a_broker_that_is_away_is_one_error_for_everybody_and_nobody_waits_longer_than_said() -> None:
    with EmbeddedBroker() as broker:
        gone = Settings(bootstrap_servers=broker.bootstrap_servers)
    publisher = AsyncPublisher(gone, "test/sender", 400)
    try:
        for ask in (publisher.publish([("kpi-events", kpi(1))]), publisher.reachable()):
            with pytest.raises(PublishError):
                await asyncio.wait_for(ask, 60)
        everybody = [publisher.publish([("kpi-events", kpi(n))]) for n in range(50)]
        found = await asyncio.gather(*everybody, return_exceptions=True)
        assert {type(one) for one in found} == {PublishError}
        # More than fits is refused at once.
        more = [("milestone-events", report(n, note="x" * 900_000)) for n in range(200)]
        with pytest.raises(PublishError, match="more events wait"):
            await publisher.publish(more)
    finally:
        await publisher.close()
    with pytest.raises(PublishError, match="closed"):
        await publisher.publish([("kpi-events", kpi(1))])


async def test_a_tick_has_no_key_and_is_not_for_it() -> None:
    with EmbeddedBroker() as broker:
        publisher = AsyncPublisher(Settings(bootstrap_servers=broker.bootstrap_servers), "test/sender", 5_000)
        with pytest.raises(TypeError, match="tick"):
            await publisher.publish([("clock-ticks", ClockTick(at=1))])
        await publisher.close()


@pytest.mark.kafka
async def test_a_topic_that_is_not_there_is_told(real_kafka: str) -> None:
    publisher = AsyncPublisher(Settings(bootstrap_servers=real_kafka, topic_prefix="none-"), "test/sender", 3_000)
    try:
        with pytest.raises(PublishError, match="none-kpi-events"):
            await publisher.reachable(["kpi-events"])
        with pytest.raises(PublishError, match="kpi-events was not stored"):
            await publisher.publish([("kpi-events", kpi(1))])
    finally:
        await publisher.close()


def rising(give: Callable[[], int], count: int) -> list[int]:
    return [give() for _ in range(count)]


def test_stamps_rise_for_one_and_ticks_come_after_everything() -> None:
    stamps = Stamps()
    first = rising(lambda: stamps.of("a"), 1_000)
    assert first == sorted(set(first))
    tick = stamps.tick()
    assert tick > first[-1]
    assert stamps.of("b") > tick
    assert stamps.tick() > tick
    for number in range(KEPT + 10):
        stamps.of(f"e{number}")
    last = stamps.of("a")
    assert last > first[-1]
    assert stamps.of("a") > last
