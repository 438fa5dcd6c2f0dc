"""A topic's committed records, from now on or from its beginning, for somebody who looks on.

No group: nothing is committed, and looking disturbs nobody.
"""

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from milepost.codec.wire import Record
from milepost.kafka.schemas import Schemas, ask
from milepost.settings import Settings

__all__ = ["Tail", "TailError"]

# A broker that is there answers at once; a partition that was just made finds its leader within a few seconds.
ANSWER_S = 10.0
PAUSE_S = 0.1
# librdkafka writes lost connections to stderr by itself; the exception says the same.
SYSLOG_CRITICAL = 2
# What the client tries again by itself.
_PASSING = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
}
# What a partition says that has no leader yet.
_LEADERLESS = {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION}


class TailError(Exception):
    """The topic cannot be read; the message names it, and the way out."""


class Tail:
    """Context manager: reads one topic from where it stands when it is opened, or from its beginning.

    `schemas` is asked for what records name and nobody here knows.
    """

    def __init__(self, settings: Settings, topic: str, *, from_beginning: bool, schemas: Schemas | None = None) -> None:
        self._settings, self._topic, self._name = settings, topic, settings.topic(topic)
        self._from_beginning, self._schemas = from_beginning, schemas
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                # The client wants a name although it never joins.
                "group.id": "milepost-tail",
                "client.id": "milepost-tail",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "log_level": SYSLOG_CRITICAL,
            }
        )

    def __enter__(self) -> "Tail":
        """Find the partitions and where they stand. Raises `TailError`."""
        try:
            self._consumer.assign(self._starts())
        except KafkaException as error:
            self._consumer.close()
            servers = self._settings.bootstrap_servers
            message = f"no broker answers at {servers}: {error.args[0].str()}; set MILEPOST_BOOTSTRAP_SERVERS"
            raise TailError(message) from error
        except TailError:
            self._consumer.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self, timeout_s: float, most: int = 500) -> list[Record]:
        """The next records, at most `most`, none after `timeout_s` without any. Raises `TailError`, `AwayError`."""
        found = [self._record(message) for message in self._messages(timeout_s, most)]
        ask(self._schemas, found)
        return found

    def _starts(self) -> list[TopicPartition]:
        until = time.monotonic() + ANSWER_S
        while True:
            try:
                return self._ask()
            except KafkaException as error:
                if error.args[0].code() not in _LEADERLESS or time.monotonic() > until:
                    raise
            time.sleep(PAUSE_S)

    def _ask(self) -> list[TopicPartition]:
        found = self._consumer.list_topics(self._name, timeout=ANSWER_S).topics[self._name]
        if found.error is not None and found.error.code() in _LEADERLESS:
            raise KafkaException(found.error)
        if found.error is not None:
            raise TailError(f"topic {self._name}: {found.error.str()}; create it with `milepost topics apply`")
        partitions = [TopicPartition(self._name, number) for number in sorted(found.partitions)]
        for partition in partitions:
            first, end = self._consumer.get_watermark_offsets(partition, timeout=ANSWER_S)
            partition.offset = first if self._from_beginning else end
        return partitions

    def _messages(self, timeout_s: float, most: int) -> Sequence[Message]:
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        found = [first, *self._consumer.consume(most - 1, timeout=0)]
        for message in found:
            error = message.error()
            if error is not None and error.code() not in _PASSING:
                raise TailError(f"topic {self._name} cannot be read: {error.str()}")
        return [message for message in found if message.error() is None]

    def _record(self, message: Message) -> Record:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        headers = tuple(message.headers() or ())
        key, value = message.key(), message.value()
        return Record(self._topic, partition, offset, message.timestamp()[1], key, value, headers)  # type: ignore[arg-type]
