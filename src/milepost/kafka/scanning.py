"""Partitions read side by side from their beginnings to where they end now, each at its own pace.

No group: nothing is committed, and looking disturbs nobody. Read committed, so an end is the last stable offset.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from milepost.codec.registry import AwayError
from milepost.codec.wire import Record
from milepost.kafka.schemas import Schemas, ask
from milepost.settings import Settings

__all__ = ["Place", "Scan", "ScanError", "read_one"]

# A broker that is there answers at once.
ANSWER_S = 10.0
# How long a partition may say nothing although it has not ended: a hanging transaction, or a broker that went away.
SILENCE_POLLS = 300
POLL_S = 0.2
# Read ahead of one partition while another one is waited for.
AHEAD_RECORDS = 5_000
BATCH_RECORDS = 1_000
SYSLOG_CRITICAL = 2


class ScanError(Exception):
    """A topic cannot be read to its end, or not understood now; the message says why, and the way out."""


class Place(NamedTuple):
    """A partition; `topic` is the name in events.md, without a prefix."""

    topic: str
    partition: int


class Scan:
    """Context manager over the partitions `places`; records of each come in the order of their offsets.

    `progress` is told how many records came; `starts` says where to begin instead of at the beginning; `schemas` is
    asked for what records name and nobody here knows.
    """

    def __init__(
        self,
        settings: Settings,
        places: Iterable[Place],
        progress: Callable[[int], None] = lambda _: None,
        starts: Mapping[Place, int] | None = None,
        *,
        schemas: Schemas | None = None,
    ) -> None:
        self._settings, self._places, self._progress = settings, tuple(places), progress
        self._schemas = schemas
        self._starts = dict(starts or {})
        self._names = {settings.topic(place.topic): place.topic for place in self._places}
        self._waiting: dict[Place, deque[Record]] = {place: deque() for place in self._places}
        self._ended: set[Place] = set()
        self._paused: set[Place] = set()
        self.begins: dict[Place, int] = {}  # the first offset that a place still keeps
        self.records = 0  # records that the places hold altogether, aborted ones and markers included
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                # The client wants a name although it never joins.
                "group.id": "milepost-scan",
                "client.id": "milepost-scan",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "allow.auto.create.topics": False,
                "log_level": SYSLOG_CRITICAL,
            }
        )

    def __enter__(self) -> "Scan":
        """Look that the topics are there. Raises `ScanError`."""
        try:
            for name in self._names:
                found = self._consumer.list_topics(name, timeout=ANSWER_S).topics[name]
                if found.error is not None:
                    raise ScanError(f"topic {name}: {found.error.str()}; create it with `milepost topics apply`")
            for place in self._places:
                begin, end = self._consumer.get_watermark_offsets(self._partition(place), timeout=ANSWER_S)
                self.records += end - begin
                self.begins[place] = begin
            self._consumer.assign(
                [self._partition(place, self._starts.get(place, OFFSET_BEGINNING)) for place in self._places]
            )
        except KafkaException as error:
            self._consumer.close()
            servers = self._settings.bootstrap_servers
            message = f"no broker answers at {servers}: {error.args[0].str()}; set MILEPOST_BOOTSTRAP_SERVERS"
            raise ScanError(message) from error
        except ScanError:
            self._consumer.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def peek(self, place: Place) -> Record | None:
        """The next record of a place, which stays; None at its end. Raises `ScanError`."""
        waiting = self._waiting[place]
        silent = 0
        while not waiting and place not in self._ended:
            if place in self._paused:
                self._paused.discard(place)
                self._consumer.resume([self._partition(place)])
            silent = 0 if self._read() else silent + 1
            if silent > SILENCE_POLLS:
                name = self._settings.topic(place.topic)
                raise ScanError(
                    f"{name}[{place.partition}] says nothing for {SILENCE_POLLS * POLL_S:.0f} s although it has not "
                    "ended: the broker went away, or a transaction hangs (kafka-transactions.sh find-hanging)"
                )
        return waiting[0] if waiting else None

    def next(self, place: Place) -> Record | None:
        """The next record of a place; None at its end. Raises `ScanError`."""
        record = self.peek(place)
        if record is not None:
            self._waiting[place].popleft()
        return record

    def until(self, place: Place, offset: int) -> Iterator[Record]:
        """The records of a place below an offset."""
        while (record := self.peek(place)) is not None and record.offset < offset:
            self._waiting[place].popleft()
            yield record

    def all(self, place: Place) -> Iterator[Record]:
        """What is left of a place."""
        while (record := self.next(place)) is not None:
            yield record

    def _read(self) -> int:
        # `consume` alone would wait for the whole number or the whole time.
        first = self._consumer.poll(POLL_S)
        found = [] if first is None else [first, *self._consumer.consume(BATCH_RECORDS, timeout=0)]
        came: list[Record] = []
        for message in found:
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            place = Place(self._names[str(message.topic())], partition)
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    self._ended.add(place)
                    continue
                raise ScanError(f"topic {message.topic()} cannot be read: {error.str()}")
            headers = tuple(message.headers() or ())
            key, value = message.key(), message.value()
            record = Record(*place, offset, message.timestamp()[1], key, value, headers)  # type: ignore[arg-type]
            self._waiting[place].append(record)
            came.append(record)
        try:
            ask(self._schemas, came)
        except AwayError as error:
            raise ScanError(str(error)) from error
        self._progress(len(found))
        full = [p for p, some in self._waiting.items() if len(some) > AHEAD_RECORDS and p not in self._paused]
        if full:
            self._paused.update(full)
            self._consumer.pause([self._partition(place) for place in full])
        return len(found)

    def _partition(self, place: Place, offset: int = 0) -> TopicPartition:
        return TopicPartition(self._settings.topic(place.topic), place.partition, offset)


def read_one(settings: Settings, place: Place, offset: int, schemas: Schemas | None = None) -> Record | None:
    """The record at an offset; None where there is none any more. Raises `ScanError`."""
    with Scan(settings, [place], starts={place: offset}, schemas=schemas) as scan:
        record = scan.peek(place)
    return record if record is not None and record.offset == offset else None
