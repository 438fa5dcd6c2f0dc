"""What stands in Kafka in the end: everything that a read_committed consumer is given, and what the group committed."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from confluent_kafka import OFFSET_BEGINNING, Consumer
from confluent_kafka import KafkaError as ConsumerError
from confluent_kafka import TopicPartition as ConsumedPartition

from milepost.codec.topics import HISTORY_TOPIC, INPUTS, OUTPUTS, PARTITIONS, STATE_TOPIC
from milepost.codec.wire import Record

READ_S = 60.0
TOPICS = (*INPUTS, *OUTPUTS, STATE_TOPIC, HISTORY_TOPIC)
Place = tuple[str, int]


@dataclass
class Committed:
    """Records by topic (plain names) and partition in offset order; `ends` are log ends, open transactions included."""

    records: dict[Place, list[Record]] = field(default_factory=dict)
    ends: dict[Place, int] = field(default_factory=dict)
    group: dict[Place, tuple[int, str]] = field(default_factory=dict)

    def of(self, topic: str) -> Iterator[Record]:
        """A topic's records, partition after partition."""
        for partition in range(PARTITIONS):
            yield from self.records.get((topic, partition), ())


def read(servers: str, prefix: str, group: str) -> Committed:
    """Read every topic of the join from its beginning to the last stable offset."""
    found = Committed(group=group_offsets(servers, prefix, group))
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"{prefix}reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 2,
        }
    )
    try:
        places = [(topic, partition) for topic in TOPICS for partition in range(PARTITIONS)]
        for topic, partition in places:
            _, end = consumer.get_watermark_offsets(ConsumedPartition(prefix + topic, partition), timeout=READ_S)
            found.ends[topic, partition] = end
            found.records[topic, partition] = []
        consumer.assign([ConsumedPartition(prefix + topic, partition, OFFSET_BEGINNING) for topic, partition in places])
        reading = set(places)
        heard = time.monotonic()
        while reading:
            # It waits for the whole number or the whole time, so the time is short.
            messages = consumer.consume(10_000, timeout=0.2)
            heard = time.monotonic() if messages else heard
            assert time.monotonic() - heard < READ_S, f"no answer for {READ_S:g} s while reading {sorted(reading)}"
            for message in messages:
                place = (str(message.topic()).removeprefix(prefix), int(message.partition() or 0))
                error = message.error()
                if error is not None:
                    assert error.code() == ConsumerError._PARTITION_EOF, error
                    reading.discard(place)
                else:
                    headers = tuple(message.headers() or ())
                    record = Record(
                        *place, message.offset(), message.timestamp()[1], message.key(), message.value(), headers
                    )
                    found.records[place].append(record)
    finally:
        consumer.close()
    return found


def group_offsets(servers: str, prefix: str, group: str) -> dict[Place, tuple[int, str]]:
    """Offset and note of a group, by input topic and partition; those without are left out."""
    return asyncio.run(_group_offsets(servers, prefix, group))


async def _group_offsets(servers: str, prefix: str, group: str) -> dict[Place, tuple[int, str]]:
    # Not librdkafka's client: its Python side takes a note for a C string, which it is not, and crashes.
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    wanted = [TopicPartition(prefix + topic, partition) for topic in INPUTS for partition in range(PARTITIONS)]
    async with asyncio.timeout(READ_S):
        await admin.start()
        try:
            while True:
                try:
                    found = await admin.list_consumer_group_offsets(group, partitions=wanted)
                    if len(found) == len(wanted):
                        break
                except KafkaError as error:  # a young broker, or one that was hurt, has no coordinator for a while
                    assert error.retriable, error
                await asyncio.sleep(0.2)
        finally:
            await admin.close()
    return {
        (place.topic.removeprefix(prefix), place.partition): (note.offset, note.metadata)
        for place, note in found.items()
        if note.offset >= 0
    }
