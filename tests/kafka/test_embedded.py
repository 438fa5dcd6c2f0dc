"""The embedded broker carries what development and the demo need: transactions, a group of two, four partitions."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import CorruptRecordException
from confluent_kafka.admin import AdminClient

from milepost.kafka.embedded import PARTITIONS, EmbeddedBroker, EmbeddedBrokerError, embedded_at


@pytest.fixture
async def producer(embedded_broker: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=embedded_broker, transactional_id="t-0")
    await producer.start()
    yield producer
    await producer.stop()


async def write(producer: AIOKafkaProducer, topic: str, count: int) -> None:
    """One transaction of `count` records, spread over the partitions."""
    async with producer.transaction():
        for number in range(count):
            await producer.send_and_wait(topic, b"%d" % number, partition=number % PARTITIONS)


def test_it_says_what_it_is_and_makes_topics_of_four_partitions() -> None:
    with EmbeddedBroker() as broker:
        metadata = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics("a", timeout=10)
        assert embedded_at(broker.bootstrap_servers)
        assert sorted(metadata.topics["a"].partitions) == list(range(PARTITIONS))
    with pytest.raises(RuntimeError, match="does not run"):
        _ = broker.bootstrap_servers


def test_two_brokers_know_nothing_of_each_other() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap_servers != other.bootstrap_servers
        AdminClient({"bootstrap.servers": one.bootstrap_servers}).list_topics("a", timeout=10)
        assert "a" not in AdminClient({"bootstrap.servers": other.bootstrap_servers}).list_topics(timeout=10).topics


def test_an_address_without_a_broker_is_an_error_that_names_it() -> None:
    with pytest.raises(EmbeddedBrokerError, match=r"no broker answers at 127\.0\.0\.1:1"):
        embedded_at("127.0.0.1:1", timeout_s=0.5)


async def test_a_committed_transaction_is_read(embedded_broker: str, producer: AIOKafkaProducer) -> None:
    await write(producer, "in", 8)
    async with AIOKafkaConsumer(
        "in", bootstrap_servers=embedded_broker, auto_offset_reset="earliest", isolation_level="read_committed"
    ) as consumer:
        seen = [(await asyncio.wait_for(consumer.getone(), 10)).value for _ in range(8)]
    assert sorted(seen) == [b"%d" % number for number in range(8)]


async def test_what_it_does_not_do_is_what_its_docstring_says(embedded_broker: str, producer: AIOKafkaProducer) -> None:
    source = TopicPartition("in", 2)
    async with producer.transaction():
        await producer.send_and_wait("in", b"x", partition=2)
        await producer.send_offsets_to_transaction({source: 1}, "g")
    async with AIOKafkaProducer(bootstrap_servers=embedded_broker, transactional_id="t-0"):
        await write(producer, "in", 1)  # on real Kafka: fenced
    async with AIOKafkaConsumer(bootstrap_servers=embedded_broker, group_id="g", enable_auto_commit=False) as consumer:
        consumer.assign([source])
        assert await consumer.committed(source) is None
        consumer.seek(source, 0)
        assert (await asyncio.wait_for(consumer.getone(source), 10)).value == b"x"
        with pytest.raises(CorruptRecordException):  # the marker
            await asyncio.wait_for(consumer.getone(source), 10)


MEMBER = """
import asyncio, sys
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

async def main(servers):
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, group_id="g", enable_auto_commit=False, check_crcs=False,
        auto_offset_reset="earliest", session_timeout_ms=6000, heartbeat_interval_ms=200,
    )
    await consumer.start()
    consumer.subscribe(["in"])
    values = []
    while len(consumer.assignment()) != 4 or len(values) < 40:
        try:
            for partition, records in (await consumer.getmany(timeout_ms=100)).items():
                values += [record.value for record in records if partition in consumer.assignment()]
        except KafkaError as error:  # a member that comes back after a rebalance joins again
            assert "InvalidRequestError" in str(error), error
            values.clear()
    print(sorted(partition.partition for partition in consumer.assignment()), flush=True)
    sys.stdin.readline()  # a member that left would give its partitions to the other
    await consumer.stop()

asyncio.run(main(sys.argv[1]))
"""


async def test_a_group_of_one_gets_every_partition(embedded_broker: str, producer: AIOKafkaProducer) -> None:
    # Of two members that join in the same moment, this broker may keep both waiting; groups are tested on real Kafka.
    await write(producer, "in", 40)
    member = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MEMBER, embedded_broker, stdin=PIPE, stdout=PIPE
    )
    assert member.stdout is not None
    assert json.loads(await asyncio.wait_for(member.stdout.readline(), 60)) == [0, 1, 2, 3]
    await member.communicate(b"\n")
    assert member.returncode == 0
