"""What stands in Kafka in the end: everything that a read_committed consumer is given, and what the group committed."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from milepost.codec.topics import INPUTS, OUTPUTS, PARTITIONS, STATE_TOPIC
from milepost.codec.wire import Record

READ_S = 60.0
TOPICS = (*INPUTS, *OUTPUTS, STATE_TOPIC)
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
            _, end = consumer.get_watermark_offsets(TopicPartition(prefix + topic, partition), timeout=READ_S)
            found.ends[topic, partition] = end
            found.records[topic, partition] = []
        consumer.assign([TopicPartition(prefix + topic, partition, OFFSET_BEGINNING) for topic, partition in places])
        reading = set(places)
        while reading:
            messages = consumer.consume(10_000, timeout=READ_S)
            assert messages, f"no answer for {READ_S:g} s while reading {sorted(reading)}"
            for message in messages:
                place = (str(message.topic()).removeprefix(prefix), int(message.partition() or 0))
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
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
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 2})
    wanted = [TopicPartition(prefix + topic, partition) for topic in INPUTS for partition in range(PARTITIONS)]
    answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, wanted)])[group].result(READ_S)
    return {
        (one.topic.removeprefix(prefix), one.partition): (one.offset, one.metadata or "")
        for one in answer.topic_partitions
        if one.offset >= 0
    }
