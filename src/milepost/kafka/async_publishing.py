"""Events onto their topics for a server: one coroutine that returns once all replicas have what it was given.

The client coalesces by itself: what concurrent requests send within `LINGER_MS` shares batches and acknowledgements,
and a request waits for its own only. Acknowledgements are looked for in the event loop, every `LOOK_S` while some are
due: a thread for them would take the interpreter away from the loop, and back, once for each of them. The records are
those of `kafka.publishing`: idempotent producer, murmur2, CloudEvents headers, timestamps that rise within an
engagement.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from milepost.codec import cloudevents, records
from milepost.core.events import ClockTick, Event, InvoiceAcknowledgement
from milepost.kafka.publishing import ANSWER_S, SYSLOG_CRITICAL, UNKNOWN_OFFSET, Place, PublishError
from milepost.kafka.stamps import Stamps
from milepost.settings import Settings

__all__ = ["MAX_RECORD_BYTES", "AsyncPublisher", "Place", "PublishError", "RecordTooLargeError"]

LINGER_MS = 2
# What waits here waits in memory; more than this is answered "not now".
QUEUE_RECORDS = 100_000
QUEUE_KIB = 128 * 1024
LOOK_S = 0.001
# A broker's own default limit is 1,048,588 bytes for a batch of one, headers included.
MAX_RECORD_BYTES = 1_000_000


class RecordTooLargeError(Exception):
    """An event is larger than a record may be; `place` is its place in what was given, `size_bytes` its size as Avro.
    Nothing of it was sent."""

    def __init__(self, place: int, size_bytes: int) -> None:
        super().__init__(f"the event has {size_bytes} bytes as a record; expected {MAX_RECORD_BYTES} at most")
        self.place, self.size_bytes = place, size_bytes


class AsyncPublisher:
    """One producer for all requests of a process; `sender` names it in the records' headers.

    `ack_timeout_ms` bounds the wait for an acknowledgement. Make it anywhere, use it in one event loop, `close` it.
    """

    def __init__(self, settings: Settings, sender: str, ack_timeout_ms: int) -> None:
        self._settings, self._sender = settings, sender
        self._ack_timeout_s = ack_timeout_ms / 1000
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "client.id": sender.replace("/", "-"),
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "compression.type": "none",
                "linger.ms": LINGER_MS,
                "delivery.timeout.ms": ack_timeout_ms,
                "queue.buffering.max.messages": QUEUE_RECORDS,
                "queue.buffering.max.kbytes": QUEUE_KIB,
                # Headers and framing come on top of the value, which is checked before anything is sent.
                "message.max.bytes": MAX_RECORD_BYTES + 48_000,
                "log_level": SYSLOG_CRITICAL,
            }
        )
        self._stamps = Stamps()
        self._closed = False
        self._looking: asyncio.TimerHandle | None = None

    async def publish(
        self,
        events: Sequence[tuple[str, Event | InvoiceAcknowledgement]],
        trace: Sequence[tuple[str, bytes]] = (),
        values: Sequence[bytes | None] | None = None,
    ) -> list[Place]:
        """Send events, each with its topic, and wait until all of them are acknowledged; where each was stored.

        In one call they go out in order, all with the headers of `trace`. `values` has those that are encoded already
        (`records.encode_event`; None: not yet). Raises `PublishError` when one was not
        acknowledged in time or not taken: then some may be stored all the same, and sending all of them again is right.
        Raises `RecordTooLargeError` before anything is sent. Ticks are not for this publisher: they have no key.
        """
        encoded = [
            value or records.encode_event(event)
            for (_, event), value in zip(events, values or [None] * len(events), strict=True)
        ]
        for place, value in enumerate(encoded):
            if len(value) > MAX_RECORD_BYTES:
                raise RecordTooLargeError(place, len(value))
        if self._closed:
            raise PublishError("the publisher is closed; send it again, to another instance")
        loop = asyncio.get_running_loop()
        request = _Request(loop, len(events))
        self._look_again(loop)
        names = {topic: self._settings.topic(topic) for topic, _ in events}
        for place, ((topic, event), value) in enumerate(zip(events, encoded, strict=True)):
            if isinstance(event, ClockTick):
                raise TypeError("a tick goes to every partition; use kafka.publishing")
            try:
                self._producer.produce(
                    names[topic],
                    value,
                    records.key_of(event),
                    timestamp=self._stamps.of(event.engagement_id),
                    headers=[*cloudevents.event_headers(event, self._sender), *trace],
                    on_delivery=partial(request.delivered, place, topic),
                )
            except BufferError as error:
                raise PublishError("more events wait for the brokers than fit into memory") from error
            except KafkaException as error:
                raise PublishError(f"an event for {topic} cannot be sent: {error.args[0].str()}") from error
        return await request.done if events else []

    async def reachable(self, topics: Sequence[str] = ()) -> None:
        """Look that a broker answers and has the topics. Raises `PublishError` that says what is not there."""
        await asyncio.to_thread(self._look, topics)

    def _look(self, topics: Sequence[str]) -> None:
        servers = self._settings.bootstrap_servers
        try:
            found = self._producer.list_topics(timeout=min(ANSWER_S, self._ack_timeout_s)).topics
        except KafkaException as error:
            raise PublishError(f"no broker answers at {servers}: {error.args[0].str()}") from error
        missing = [name for name in map(self._settings.topic, topics) if name not in found]
        if missing:
            raise PublishError(f"{servers} has no topic {', '.join(missing)}; `milepost topics apply` creates them")

    async def close(self) -> None:
        """Wait for what is on its way, then end. Closing twice is fine."""
        self._closed = True
        await asyncio.to_thread(self._producer.flush, self._ack_timeout_s)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._looking is None:
            self._looking = loop.call_later(LOOK_S, self._look_for_answers, loop)

    def _look_for_answers(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the client call back for what was answered meanwhile."""
        self._looking = None
        self._producer.poll(0)
        if len(self._producer):
            self._look_again(loop)


class _Request:
    """The acknowledgements that one call waits for; at the end they may arrive in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        self.done: asyncio.Future[list[Place]] = loop.create_future()
        self._loop = loop
        self._places: list[Place | None] = [None] * count
        self._missing = count
        self._failure: str | None = None

    def delivered(self, place: int, topic: str, error: KafkaError | None, message: Message) -> None:
        """One record is stored, or will not be."""
        if error is not None:
            self._failure = self._failure or f"an event for {topic} was not stored: {error.str()}"
        else:
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            self._places[place] = Place(topic, partition, UNKNOWN_OFFSET if offset is None else offset)
        self._missing -= 1
        if not self._missing and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self.done.done():  # whoever asked has gone away
            return
        if self._failure is not None:
            self.done.set_exception(PublishError(self._failure))
        else:
            self.done.set_result([place for place in self._places if place is not None])
