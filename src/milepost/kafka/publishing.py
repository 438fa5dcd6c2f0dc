"""Events onto their topics: idempotent, acknowledged by all replicas, engagements where murmur2 puts them.

A tick goes to every partition. `kafka.async_publishing` is the same for a server, without waiting in a thread.
"""

import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from milepost.codec import cloudevents, records
from milepost.codec.wire import Outgoing
from milepost.core.events import ClockTick, Event, InvoiceAcknowledgement
from milepost.kafka.stamps import Stamps
from milepost.settings import Settings

__all__ = ["Place", "PublishError", "Publisher"]

SENDER = "milepost/publish"
# A broker that is there answers at once; a topic that was just made finds its leaders within a few seconds.
ANSWER_S = 10.0
PAUSE_S = 0.1
LINGER_MS = 5
# Waiting in the client at most; `send` waits when there are more.
QUEUE_RECORDS = 100_000
QUEUE_KIB = 256 * 1024
# librdkafka writes lost connections to stderr by itself; the exception says the same.
SYSLOG_CRITICAL = 2
UNKNOWN_OFFSET = -1


class PublishError(Exception):
    """The brokers did not take an event; the message names the topic or the address, and the way out."""


class Place(NamedTuple):
    """Where a record was stored. `topic` is the name in events.md, without a prefix; -1: stored, the offset unknown."""

    topic: str
    partition: int
    offset: int


class Publisher:
    """One producer; `send` queues, `flush` waits for the acknowledgements. Blocks; not for several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        timeout_ms = settings.send_timeout_ms
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "client.id": "milepost-publish",
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "compression.type": "none",
                "linger.ms": LINGER_MS,
                "delivery.timeout.ms": timeout_ms,
                "queue.buffering.max.messages": QUEUE_RECORDS,
                "queue.buffering.max.kbytes": QUEUE_KIB,
                "log_level": SYSLOG_CRITICAL,
            }
        )
        self._partitions: dict[str, int] = {}
        self._stored: list[Place] = []
        self._failures: list[str] = []
        self._stamps = Stamps()

    def prepare(self, topics: Iterable[str]) -> None:
        """Look that the topics exist. Raises `PublishError` naming the first that does not."""
        for topic in topics:
            self._partitions[topic] = self._count(self._settings.topic(topic))

    def _count(self, name: str) -> int:
        until = time.monotonic() + ANSWER_S
        while True:
            try:
                found = self._producer.list_topics(name, timeout=ANSWER_S).topics[name]
            except KafkaException as error:
                servers = self._settings.bootstrap_servers
                message = f"no broker answers at {servers}: {_reason(error)}; set MILEPOST_BOOTSTRAP_SERVERS"
                raise PublishError(message) from error
            if found.error is None:
                return len(found.partitions)
            if found.error.code() != KafkaError.LEADER_NOT_AVAILABLE or time.monotonic() > until:
                raise PublishError(f"topic {name}: {found.error.str()}; create it with `milepost topics apply`")
            time.sleep(PAUSE_S)

    def send(self, topic: str, event: Event | InvoiceAcknowledgement) -> None:
        """Queue one event for its topic, a tick for each of its partitions; waits while the queue is full.

        Raises `PublishError` for what the client refuses, and for what the brokers refused since the last `flush`.
        """
        if topic not in self._partitions:
            self.prepare([topic])
        record = partial(
            self._produce,
            topic,
            value=records.encode_event(event),
            headers=cloudevents.event_headers(event, SENDER),
        )
        if isinstance(event, ClockTick):
            stamp = self._stamps.tick()
            for number in range(self._partitions[topic]):
                record(partition=number, timestamp=stamp)
        else:
            record(key=records.key_of(event), timestamp=self._stamps.of(event.engagement_id))
        self._producer.poll(0)
        self._raise_failures()

    def resend(self, record: Outgoing, partition: int) -> None:
        """Queue bytes as they are, for the partition that they were in. Raises `PublishError`."""
        if record.topic not in self._partitions:
            self.prepare([record.topic])
        self._produce(
            record.topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=partition,
            timestamp=int(time.time() * 1000),
        )
        self._producer.poll(0)
        self._raise_failures()

    def flush(self) -> list[Place]:
        """Wait until everything is acknowledged; where it was stored since the last flush, in no particular order.

        Raises `PublishError` when a record was refused or not acknowledged in time.
        """
        left = self._producer.flush(self._settings.send_timeout_ms / 1000 + ANSWER_S)
        self._raise_failures()
        if left:
            raise PublishError(f"{left} records were not acknowledged by {self._settings.bootstrap_servers} in time")
        stored, self._stored = self._stored, []
        return stored

    @staticmethod
    def counts(stored: Iterable[Place]) -> dict[str, int]:
        """How many records each topic took, by topic in alphabetical order."""
        return dict(sorted(Counter(place.topic for place in stored).items()))

    def _produce(self, topic: str, **record: Any) -> None:
        while True:
            try:
                self._producer.produce(
                    self._settings.topic(topic), on_delivery=partial(self._delivered, topic), **record
                )
                return
            except BufferError:
                self._producer.poll(0.1)
                self._raise_failures()
            except KafkaException as error:
                raise PublishError(f"an event for {topic} cannot be sent: {_reason(error)}") from error

    def _delivered(self, topic: str, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"an event for {topic} was not stored: {error.str()}")
        else:
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            # A record whose first acknowledgement was lost is known to the broker, its offset is not told again.
            self._stored.append(Place(topic, partition, UNKNOWN_OFFSET if offset is None else offset))

    def _raise_failures(self) -> None:
        if self._failures:
            more = f" (and {len(self._failures) - 1} more)" if len(self._failures) > 1 else ""
            message = self._failures[0] + more
            self._failures = []
            raise PublishError(message)


def _reason(error: KafkaException) -> str:
    cause = error.args[0]
    return cause.str() if isinstance(cause, KafkaError) else str(error)
