"""The topic of ticks: what the last ones said, the next one, and what time it is at the broker.

`clock-ticks` keeps its senders' timestamps, so a tick tells both the time that it states and the time at which its
sender's machine stated it; where time was advanced the first is ahead of the second.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from milepost.codec import cloudevents, records
from milepost.codec.topics import TOPIC_OF_RECORD
from milepost.codec.wire import Undecodable
from milepost.core.events import ClockTick
from milepost.kafka.embedded import is_embedded
from milepost.settings import Settings

__all__ = ["PROBES", "TICKS", "Skew", "Stand", "Ticks", "TicksError", "machine_ms"]

TICKS = TOPIC_OF_RECORD["ClockTick"]
PROBES = "clock-probes"
SENDER = "milepost/clock"
# A broker that is there answers at once; one that fails over does within a few seconds.
ANSWER_S = 10.0
# How many ticks of a partition are looked at: one that was published by hand may be earlier than those before it.
WINDOW = 100
# The embedded broker answers an idle fetch only when its time is over.
FETCH_WAIT_MS = 50
POLL_S = 0.2
# librdkafka writes lost connections to stderr by itself; the exception says the same.
SYSLOG_CRITICAL = 2
# What a partition says that has no leader yet.
_LEADERLESS = {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION}
# What the client tries again by itself.
_PASSING = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]


def machine_ms() -> int:
    """This machine's time, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class TicksError(Exception):
    """The brokers did not take or give ticks; the message names the topic or the address, and the way out."""


class Stand(NamedTuple):
    """Where the ticks stand.

    `latest` has the latest instant (microseconds) that each partition was told, None where there is no tick yet. `lead`
    is by how many microseconds time was advanced: the most that a tick stated beyond its sender's own time, at least 0.
    """

    latest: Mapping[int, int | None]
    lead: int

    @property
    def told(self) -> int | None:
        """The latest instant of all partitions."""
        return max((at for at in self.latest.values() if at is not None), default=None)

    def sandbox_time(self, machine: int) -> int:
        """What time it is in a sandbox: the machine's and what it was advanced by, never before what was told."""
        return max(machine + self.lead, self.told or 0)


class Skew(NamedTuple):
    """This machine's time when the broker was asked and when it had answered, and the broker's; all milliseconds."""

    asked_ms: int
    broker_ms: int
    answered_ms: int

    @property
    def ahead_ms(self) -> int:
        """By how much this machine is ahead of the broker at the least; negative: behind; 0: no more than the way."""
        return max(self.asked_ms - self.broker_ms, 0) - max(self.broker_ms - self.answered_ms, 0)


class Ticks:
    """A reader and a sender of ticks; connects when first asked. Blocks; not for several threads at a time.

    `now_ms` is this machine's clock, milliseconds since 1970. Every method raises `TicksError`.
    """

    def __init__(self, settings: Settings, now_ms: Callable[[], int] = machine_ms) -> None:
        self._settings, self._now_ms = settings, now_ms
        self._topic, self._probes = settings.topic(TICKS), settings.topic(PROBES)
        common: dict[str, str | int | float | bool] = {
            "bootstrap.servers": settings.bootstrap_servers,
            "client.id": "milepost-clock",
            "log_level": SYSLOG_CRITICAL,
        }
        self._admin = AdminClient(common)
        self._consumer = Consumer(
            {
                **common,
                # The client wants a name although it never joins.
                "group.id": "milepost-ticks",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": FETCH_WAIT_MS,
            }
        )
        self._producer = Producer(
            {
                **common,
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "none",
                # Small: a tick that waited longer than this states a time that is over.
                "delivery.timeout.ms": int(ANSWER_S * 1000),
                "linger.ms": 0,
            }
        )
        self._next: dict[int, int] = {}  # offset to read next, by partition
        self._latest: dict[int, int | None] = {}
        self._lead = 0
        self._failures: list[str] = []
        self._embedded: bool | None = None  # not asked yet

    def close(self) -> None:
        """Close the reader; the sender ends with its last reference."""
        self._consumer.close()

    def missing(self, topics: Collection[str] = (TICKS,)) -> list[str]:
        """Those of the topics, as the brokers name them, that do not exist."""
        names = [self._settings.topic(topic) for topic in topics]
        try:
            return [
                name for name in names if self._admin.list_topics(name, timeout=ANSWER_S).topics[name].error is not None
            ]
        except KafkaException as error:
            raise self._unanswered(error) from error

    def stand(self) -> Stand:
        """Read what was sent since the last call; the first looks at the last `WINDOW` ticks of each partition."""
        try:
            if not self._next:
                self._next = self._starts()
                self._latest = dict.fromkeys(self._next)
            ends = self._offsets(self._next, _LATEST)
            unread = {number: end for number, end in ends.items() if self._next[number] < end}
            if unread:
                self._read(unread)
        except KafkaException as error:
            raise self._unanswered(error) from error
        return Stand(dict(self._latest), self._lead)

    def send(self, instants: Sequence[int], partitions: Collection[int]) -> None:
        """Send ticks, in order, to each of the partitions and wait for the acknowledgements."""
        stamp = self._now_ms()
        for at in instants:
            event = ClockTick(at)
            record = {
                "topic": self._topic,
                "value": records.encode_event(event),
                "headers": cloudevents.event_headers(event, SENDER),
                "timestamp": stamp,
            }
            for number in partitions:
                self._produce(partition=number, on_delivery=self._delivered, **record)
        self._flush(f"ticks for {self._topic}")

    def skew(self) -> Skew | None:
        """Compare this machine's clock with the broker's; None on the embedded one, whose stamps are no times."""
        if self._embedded is None:
            try:
                self._embedded = is_embedded(self._admin.list_topics(timeout=ANSWER_S).cluster_id)
            except KafkaException as error:
                raise self._unanswered(error) from error
        if self._embedded:
            return None
        stamps: list[int] = []
        asked = self._now_ms()
        self._produce(topic=self._probes, value=b"", on_delivery=partial(self._stamped, stamps))
        self._flush(f"a probe for {self._probes}")
        if not stamps:
            raise TicksError(
                f"topic {self._probes} does not have the broker's timestamps; see `milepost topics plan`, and set "
                "message.timestamp.type to LogAppendTime"
            )
        return Skew(asked, stamps[0], self._now_ms())

    def _starts(self) -> dict[int, int]:
        if missing := self.missing():
            raise TicksError(f"topic {missing[0]} does not exist; create it with `milepost topics apply`")
        numbers = self._admin.list_topics(self._topic, timeout=ANSWER_S).topics[self._topic].partitions
        firsts = self._offsets(numbers, _EARLIEST)
        return {n: max(firsts[n], end - WINDOW) for n, end in self._offsets(numbers, _LATEST).items()}

    def _offsets(self, numbers: Iterable[int], which: OffsetSpec) -> dict[int, int]:
        # Not the reader's connection: there a request waits behind the fetch before it.
        asked = {TopicPartition(self._topic, number): which for number in numbers}
        until = time.monotonic() + ANSWER_S
        while True:
            answers = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=ANSWER_S
            )
            try:
                return {place.partition: answer.result(2 * ANSWER_S).offset for place, answer in answers.items()}
            except KafkaException as error:
                # A partition that was just made finds its leader within a few seconds.
                if error.args[0].code() not in _LEADERLESS or time.monotonic() > until:
                    raise
            time.sleep(POLL_S)

    def _read(self, ends: Mapping[int, int]) -> None:
        """Read up to these offsets; nothing is fetched before and afterwards."""
        self._consumer.assign([TopicPartition(self._topic, number, self._next[number]) for number in ends])
        try:
            until = time.monotonic() + ANSWER_S
            while any(self._next[number] < end for number, end in ends.items()):
                message = self._consumer.poll(POLL_S)
                if message is not None:
                    self._take(message)
                elif time.monotonic() > until:
                    raise TicksError(f"topic {self._topic} cannot be read to its end within {ANSWER_S:.0f} s")
        finally:
            self._consumer.unassign()

    def _take(self, message: Message) -> None:
        number, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            if error.code() in _PASSING | _LEADERLESS:
                return
            raise TicksError(f"topic {self._topic} cannot be read: {error.str()}")
        if number is None or offset is None:
            return
        if error is not None:
            self._next[number] = max(self._next[number], offset)
            return
        self._next[number] = offset + 1
        try:
            event = records.decode(TICKS, message.value() or b"", message.headers() or ())  # type: ignore[arg-type]
        except Undecodable:
            return  # the join makes a dead letter of it
        assert isinstance(event, ClockTick)
        self._latest[number] = max(event.at, self._latest[number] or event.at)
        self._lead = max(self._lead, event.at - message.timestamp()[1] * 1000)

    def _produce(self, **record: object) -> None:
        while True:
            try:
                self._producer.produce(**record)  # type: ignore[arg-type]
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise self._unanswered(error) from error

    def _flush(self, what: str) -> None:
        left = self._producer.flush(2 * ANSWER_S)
        failures, self._failures = self._failures, []
        if failures or left:
            raise TicksError(f"{what} were not stored: {failures[0] if failures else 'no answer'}")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failures.append(error.str())

    def _stamped(self, stamps: list[int], error: KafkaError | None, message: Message) -> None:
        self._delivered(error, message)
        kind, stamp = message.timestamp()
        if error is None and kind == TIMESTAMP_LOG_APPEND_TIME:
            stamps.append(stamp)

    def _unanswered(self, error: KafkaException) -> TicksError:
        cause = error.args[0]
        text = cause.str() if isinstance(cause, KafkaError) else str(error)
        servers = self._settings.bootstrap_servers
        return TicksError(f"no answer of the brokers at {servers}: {text}; see MILEPOST_BOOTSTRAP_SERVERS")
