"""The port's contract: what the join believes about a log holds in memory and on a broker alike."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from milepost.kafka import transactions
from milepost.kafka.log import (
    ChangelogStalledError,
    Committed,
    FencedError,
    GroupConsumer,
    GroupRefusedError,
    Log,
    Message,
    Producer,
    RejectedError,
    TopicPartition,
)
from tests.contracts.conftest import MISSING, PARTITIONS, SMALL, Subject

STATE = TopicPartition("state", 1)
LINES = TopicPartition("lines", 1)
REPORTS = TopicPartition("reports", 1)
BOUND_S = 20.0
NOT_STALLED_S = 20.0
WITHOUT_EMBEDDED = pytest.mark.parametrize(
    "subject", ["memory", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True
)


@pytest.fixture
async def log(subject: Subject) -> AsyncIterator[Log]:
    connected = subject.log()
    await connected.start()
    yield connected
    await connected.stop()


@contextlib.asynccontextmanager
async def producing(log: Log, name: str) -> AsyncIterator[Producer]:
    producer = log.producer(name)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.close(5.0)


async def write(producer: Producer, *values: bytes, to: TopicPartition = STATE) -> None:
    await producer.begin()
    await producer.send(to.topic, to.partition, [Message(b"k", value) for value in values])
    await producer.settle(BOUND_S)


async def values(log: Log, partition: TopicPartition, start: int = 0, stall_s: float = NOT_STALLED_S) -> list[bytes]:
    span = (await log.spans([partition]))[partition]
    found: list[bytes] = []
    async for records in log.read(partition, max(start, span.begin), span.end, stall_s):
        found += [record.value or b"" for record in records]
    return found


async def test_a_transaction_is_seen_whole_with_its_offsets(subject: Subject, log: Log) -> None:
    async with producing(log, f"{subject.group}.1") as producer:
        await producer.begin()
        await producer.send("lines", 1, [Message(b"k", b"line", [("milepost-txseq", b"1")])])
        await producer.send("state", 1, [Message(b"k", b"one"), Message(b"k", None)])
        ends = await producer.settle(BOUND_S)
        await producer.send_offsets({REPORTS: Committed(7, "1 abc")}, subject.group)
        assert await producer.commit() is True
        assert producer.sent == 2
    assert ends == {LINES: 1, STATE: 2}
    async with producing(log, f"{subject.group}.1"):
        pass  # a commit is answered before its markers are written; the next epoch waits for them
    # The embedded broker forgets the offsets of a transaction.
    expected = {REPORTS: Committed(7, "1 abc")} if subject.name != "embedded" else {}
    assert await log.committed(subject.group, [REPORTS, LINES]) == expected
    (records,) = [records async for records in log.read(LINES, 0, 2, NOT_STALLED_S)]
    assert [(one.topic, one.partition, one.offset, one.key, one.value) for one in records] == [
        ("lines", 1, 0, b"k", b"line")
    ]
    assert tuple(records[0].headers) == (("milepost-txseq", b"1"),)
    assert await values(log, STATE) == [b"one", b""]


async def test_when_start_returns_the_predecessor_is_over(subject: Subject, log: Log) -> None:
    async with producing(log, subject.group) as old:
        await write(old, b"committed")
        await old.commit()
        await write(old, b"open")
        async with producing(log, subject.group) as new:
            # Looked at at once: nothing of the old transaction is pending, and what was committed is all there is.
            assert await values(log, STATE) == [b"committed"]
            with pytest.raises(FencedError):
                await old.send_offsets({REPORTS: Committed(9, "late")}, subject.group)
            await write(new, b"successor")
            assert await new.commit()
    assert await values(log, STATE) == [b"committed", b"successor"]
    assert await log.committed(subject.group, [REPORTS]) == {}


async def test_a_fenced_producer_cannot_send(subject: Subject, log: Log) -> None:
    async with producing(log, subject.group) as old, producing(log, subject.group):
        with pytest.raises(FencedError):
            await write(old, b"zombie")
    assert await values(log, STATE) == []


async def test_reading_ends_at_empty_at_markers_and_at_an_aborted_tail(subject: Subject, log: Log) -> None:
    assert await values(log, STATE) == []
    async with producing(log, subject.group) as old:
        await write(old, b"only aborted")
        async with producing(log, subject.group) as new:
            assert await values(log, STATE) == []
            await write(new, b"a", b"b")
            await new.commit()
            assert await values(log, STATE) == [b"a", b"b"]
            await write(new, *(b"x" * 10_000 for _ in range(300)))
        async with producing(log, subject.group):
            span = (await log.spans([STATE]))[STATE]
            assert await values(log, STATE) == [b"a", b"b"]
            assert await values(log, STATE, start=span.end) == []


async def test_reading_stops_and_says_so_before_a_strangers_open_transaction(subject: Subject, log: Log) -> None:
    await subject.append(STATE, [Message(b"k", b"before")])
    async with producing(log, f"{subject.group}.stranger") as stranger:
        await write(stranger, b"open")
        with pytest.raises(ChangelogStalledError, match=r"state partition 1 cannot be read beyond offset 1 of 2"):
            await values(log, STATE, stall_s=1.0)
    async with producing(log, f"{subject.group}.stranger"):
        assert await values(log, STATE) == [b"before"]


@WITHOUT_EMBEDDED  # takes batches of any size
async def test_a_rejected_record_shows_before_the_offsets_and_commits_nothing(subject: Subject, log: Log) -> None:
    small = TopicPartition(SMALL, 1)
    async with producing(log, subject.group) as producer:
        await producer.begin()
        await producer.send("state", 1, [Message(b"k", b"state")])
        await producer.send(SMALL, 1, [Message(b"k", b"x" * 20_000)])
        with pytest.raises(RejectedError, match="MessageSizeTooLarge"):
            await producer.settle(BOUND_S)
    async with producing(log, subject.group):
        assert await values(log, STATE) == []
        assert await values(log, small) == []


@WITHOUT_EMBEDDED  # makes every topic that is named
async def test_partition_counts_say_what_is_missing(subject: Subject, log: Log) -> None:
    assert await log.partition_counts(["lines", MISSING]) == {"lines": PARTITIONS, MISSING: 0}


async def test_brokers_that_verify_transactions_have_no_weakness(subject: Subject, log: Log) -> None:
    found = await log.weaknesses()
    assert bool(found) is (subject.name == "embedded"), found


class Held:
    """A listener that keeps the rule for listeners: pause, placeholder, nothing awaited."""

    def __init__(self) -> None:
        self.consumer: GroupConsumer | None = None
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.revocations = 0

    def on_assigned(self, assigned: frozenset[TopicPartition]) -> None:
        assert self.consumer is not None
        self.consumer.pause(assigned)
        for partition in assigned:
            self.consumer.seek(partition, 0)
        self.assigned = assigned

    async def on_revoked(self, revoked: frozenset[TopicPartition]) -> None:
        self.revocations += 1

    @property
    def numbers(self) -> set[int]:
        return {partition.partition for partition in self.assigned}


def member(log: Log, group: str, *topics: str) -> Held:
    held = Held()
    held.consumer = log.consumer(group, topics or ("reports", "approvals"), held)
    return held


async def poll_until(held: Held, reached: Callable[[], bool], *others: Held) -> list[int]:
    offsets: list[int] = []
    async with asyncio.timeout(BOUND_S):
        while not reached():
            for one in (held, *others):
                assert one.consumer is not None
                for records in (await one.consumer.poll(0.05, 100)).values():
                    offsets += [record.offset for record in records]
    return offsets


@contextlib.asynccontextmanager
async def joined(*members: Held) -> AsyncIterator[None]:
    started = []
    try:
        for held in members:
            assert held.consumer is not None
            await held.consumer.start()
            started.append(held.consumer)
        yield
    finally:
        for consumer in started:
            await consumer.stop()


async def test_a_paused_partition_gives_nothing_and_a_sought_one_exactly_what_follows(
    subject: Subject, log: Log
) -> None:
    await subject.append(REPORTS, [Message(b"k", b"%d" % number) for number in range(1_000)])
    held = member(log, subject.group)
    consumer = held.consumer
    assert consumer is not None
    async with joined(held):
        await poll_until(held, lambda: bool(held.assigned))
        assert held.numbers == set(range(PARTITIONS))
        assert {partition.topic for partition in held.assigned} == {"reports", "approvals"}
        for _ in range(10):
            assert await consumer.poll(0.05, 100) == {}
        consumer.seek(REPORTS, 900)
        consumer.resume([REPORTS])
        found: list[int] = []
        async with asyncio.timeout(BOUND_S):
            while consumer.position(REPORTS) != 1_000:
                for records in (await consumer.poll(0.05, 70)).values():
                    assert len(records) <= 70
                    found += [record.offset for record in records]
        assert found == list(range(900, 1_000))
        assert await consumer.ends([REPORTS]) == {REPORTS: 1_000}
        consumer.seek(REPORTS, 998)
        assert await poll_until(held, lambda: consumer.position(REPORTS) == 1_000) == [998, 999]


@WITHOUT_EMBEDDED  # tells a member that is slower than the leader INVALID_REQUEST
async def test_members_share_numbers_not_topic_partitions_and_hand_them_over(subject: Subject, log: Log) -> None:
    first, second = member(log, subject.group), member(log, subject.group)
    assert second.consumer is not None
    async with joined(first):
        await poll_until(first, lambda: len(first.numbers) == PARTITIONS)
        async with joined(second):
            await poll_until(first, lambda: len(first.numbers) == len(second.numbers) == 2, second)
            assert first.numbers | second.numbers == set(range(PARTITIONS))
            for held in (first, second):
                expected = {
                    TopicPartition(topic, number) for topic in ("reports", "approvals") for number in held.numbers
                }
                assert held.assigned == expected
        await poll_until(first, lambda: len(first.numbers) == PARTITIONS)
    assert first.revocations >= 2


async def test_a_member_with_other_topics_stops_the_group_and_the_leader_says_why(subject: Subject, log: Log) -> None:
    first, odd = member(log, subject.group), member(log, subject.group, "reports")
    async with joined(first):
        await poll_until(first, lambda: len(first.numbers) == PARTITIONS)
        async with joined(odd):
            with pytest.raises(GroupRefusedError, match="read different topics"):
                # Whoever leads learns it; the other's poll hangs, which is why the two are polled side by side.
                await first_to_refuse(first, odd)
        await poll_until(first, lambda: len(first.numbers) == PARTITIONS)


async def first_to_refuse(*members: Held) -> None:
    async def polled(held: Held) -> None:
        assert held.consumer is not None
        while True:
            await held.consumer.poll(0.1, 10)

    tasks = [asyncio.create_task(polled(held)) for held in members]
    try:
        done, _ = await asyncio.wait(tasks, timeout=BOUND_S, return_when=asyncio.FIRST_COMPLETED)
        assert done, "nobody refused"
        done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@WITHOUT_EMBEDDED  # makes every topic that is named
async def test_topics_with_different_partition_counts_are_refused(subject: Subject, log: Log) -> None:
    held = member(log, subject.group, "reports", MISSING)
    async with joined(held):
        with pytest.raises(GroupRefusedError, match=f"{MISSING} has 0, .*reports has {PARTITIONS}"):
            await poll_until(held, lambda: False)


def test_the_clients_fixed_pause_between_transactions_is_the_one_that_is_set() -> None:
    # BACKOFF_OVERRIDE is read by name inside the client: if a release renames it, latency goes from 4 to 25 ms.
    source = transactions.aiokafka_sender.__file__
    with open(source, encoding="utf-8") as module:
        assert "return BACKOFF_OVERRIDE" in module.read()
    assert transactions.aiokafka_sender.BACKOFF_OVERRIDE == transactions.BACKOFF_S == 0.002
