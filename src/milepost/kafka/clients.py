"""`log.Log` on real Kafka: group consumer, reader of the changelog, offsets. `kafka.transactions` has the producer.

Options are spelt out here and nowhere else; none is inherited from the client's defaults where it matters.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as kafka_errors
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from milepost.codec.registry import AwayError
from milepost.codec.wire import Record
from milepost.kafka.assignor import CoPartitionAssignor
from milepost.kafka.connections import check_alive, close
from milepost.kafka.embedded import EmbeddedBrokerError, embedded_at
from milepost.kafka.log import (
    ChangelogStalledError,
    Committed,
    GroupRefusedError,
    HoldError,
    Listener,
    LogError,
    Span,
    TopicPartition,
)
from milepost.kafka.schemas import Schemas, unknown_keys
from milepost.kafka.transactions import FAILURES, KafkaProducer, translate, translated
from milepost.settings import Settings

__all__ = ["KafkaGroupConsumer", "KafkaLog"]

# A worker's fetches must not be delayed by a partition that it does not read at the moment, nor outgrow its memory.
FETCH_BYTES_PARTITION = 4 << 20
FETCH_BYTES = 64 << 20
# The broker answers an idle fetch after this; a paused partition's new data is asked for no later.
FETCH_WAIT_MS = 500
# The embedded broker answers an idle fetch only when its time is over, whatever arrives meanwhile.
FETCH_WAIT_EMBEDDED_MS = 50
EMPTY_ANSWERS = 3
_VERIFICATION = "transaction.partition.verification.enable"


class KafkaGroupConsumer:
    """`log.GroupConsumer` on aiokafka."""

    def __init__(
        self,
        settings: Settings,
        group: str,
        topics: Collection[str],
        listener: Listener,
        check_crcs: bool = True,
        schemas: Schemas | None = None,
    ) -> None:
        self._settings, self._group, self._listener, self._check_crcs = settings, group, listener, check_crcs
        self._schemas = schemas
        self._prefix = settings.topic_prefix
        self._topics = [settings.topic(topic) for topic in topics]
        self._assignor = CoPartitionAssignor()
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connect, then subscribe: a subscription before the start would wait there for a group that cannot form."""
        settings = self._settings
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            group_id=self._group,
            partition_assignment_strategy=(self._assignor,),
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            session_timeout_ms=settings.session_timeout_ms,
            # How long the others wait for us at a rebalance; a request that waits longer than its own timeout fails.
            rebalance_timeout_ms=min(settings.session_timeout_ms, settings.request_timeout_ms - 1_000),
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            max_poll_interval_ms=settings.max_poll_interval_ms,
            request_timeout_ms=settings.request_timeout_ms,
            max_partition_fetch_bytes=FETCH_BYTES_PARTITION,
            fetch_max_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS if self._check_crcs else FETCH_WAIT_EMBEDDED_MS,
            check_crcs=self._check_crcs,
            retry_backoff_ms=100,
        )
        self._consumer = consumer
        with translated():
            await consumer.start()
            consumer.subscribe(self._topics, listener=_Relay(self._listener, self._prefix))

    async def stop(self) -> None:
        """Leave the group and close."""
        if self._consumer is not None:
            with translated():
                await close(self._consumer)

    async def poll(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[Record]]:
        """Records by partition; see `log.GroupConsumer.poll` for what it raises."""
        check_alive(self._client()._client)
        try:
            found = await self._client().getmany(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        except BaseException as error:
            # The client counts polls that began and not that they raised; then it would never leave the group again.
            self._client()._subscription._fetch_count = 0
            if not isinstance(error, FAILURES):
                raise
            if self._assignor.refusal is not None:
                raise GroupRefusedError(self._assignor.refusal) from error
            raise translate(error) from error
        if self._schemas is not None:
            for records in found.values():
                if unknown := unknown_keys(self._schemas.registry, records):
                    try:
                        await self._schemas.ensure(unknown)
                    except AwayError as error:
                        raise HoldError(str(error)) from error
        return {
            self._plain(partition): _records(partition, records, self._prefix) for partition, records in found.items()
        }

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Pause those of `partitions` that are held."""
        self._client().pause(*self._held(partitions))

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Resume those of `partitions` that are held."""
        self._client().resume(*self._held(partitions))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the position; nothing happens when the partition was taken away meanwhile."""
        for held in self._held([partition]):
            self._client().seek(held, offset)

    def position(self, partition: TopicPartition) -> int | None:
        """The next offset; read from the client's state, because its own `position` may wait."""
        for held in self._held([partition]):
            state = self._client()._subscription.subscription.assignment.state_value(held)
            return int(state.position) if state.has_valid_position else None
        return None

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Last stable offsets: `end_offsets` follows the consumer's own isolation level."""
        with translated():
            found = await self._client().end_offsets([self._named(partition) for partition in partitions])
        return {self._plain(partition): offset for partition, offset in found.items()}

    def _held(self, partitions: Collection[TopicPartition]) -> list[TopicPartition]:
        held = self._client().assignment()
        return [named for named in map(self._named, partitions) if named in held]

    def _named(self, partition: TopicPartition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.partition)

    def _plain(self, partition: TopicPartition) -> TopicPartition:
        return TopicPartition(partition.topic.removeprefix(self._prefix), partition.partition)

    def _client(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise LogError("the consumer is not running")
        return self._consumer


class _Relay(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The library's listener: plain topic names for ours."""

    def __init__(self, listener: Listener, prefix: str) -> None:
        self._listener, self._prefix = listener, prefix

    def _plain(self, partitions: Collection[TopicPartition]) -> frozenset[TopicPartition]:
        return frozenset(TopicPartition(topic.removeprefix(self._prefix), number) for topic, number in partitions)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._listener.on_revoked(self._plain(revoked))

    # Not a coroutine on purpose: nothing in it may wait (step 1).
    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._listener.on_assigned(self._plain(assigned))


class KafkaLog:
    """`log.Log` on the brokers that the settings name."""

    def __init__(self, settings: Settings, schemas: Schemas | None = None) -> None:
        self._settings, self._prefix, self._schemas = settings, settings.topic_prefix, schemas
        self._admin: AIOKafkaAdminClient | None = None
        self._raw: AIOKafkaConsumer | None = None
        # The embedded broker's transaction markers carry none.
        self._check_crcs = True

    async def start(self) -> None:
        """Connect; raises `LogError` naming the servers when none answers."""
        settings = self._settings
        servers, timeout = settings.bootstrap_servers, settings.request_timeout_ms
        self._admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=timeout)
        self._raw = AIOKafkaConsumer(**self._reader_options("read_uncommitted"))
        try:
            await self._admin.start()
            await self._raw.start()
            self._check_crcs = not await asyncio.to_thread(embedded_at, servers)
        except (kafka_errors.KafkaError, EmbeddedBrokerError, OSError) as error:
            await self.stop()
            raise LogError(f"no broker answers at {servers}: {error}; set MILEPOST_BOOTSTRAP_SERVERS") from error

    @property
    def embedded(self) -> bool:
        """Whether it was the embedded broker that answered at `start`."""
        return not self._check_crcs

    async def stop(self) -> None:
        """Close both clients; one whose broker is away may find that its connections are closed already."""
        admin, raw, self._admin, self._raw = self._admin, self._raw, None, None
        with contextlib.suppress(*FAILURES):
            if raw is not None:
                await close(raw)
        with contextlib.suppress(*FAILURES):
            if admin is not None:
                await admin.close()

    async def partition_counts(self, topics: Collection[str]) -> dict[str, int]:
        """Partitions by topic, from the brokers' metadata."""
        with translated():
            found = await self._started()[0].describe_topics([self._prefix + topic for topic in topics])
        counts = {one["topic"].removeprefix(self._prefix): len(one["partitions"]) for one in found}
        return {topic: counts.get(topic, 0) for topic in topics}

    async def spans(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Span]:
        """First and end offsets from an uncommitted consumer, so that open transactions count."""
        _, raw = self._started()
        named = [self._named(partition) for partition in partitions]
        with translated():
            begins, ends = await raw.beginning_offsets(named), await raw.end_offsets(named)
        return {plain: Span(begins[name], ends[name]) for plain, name in zip(partitions, named, strict=True)}

    async def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        """Offsets with their metadata, which the consumer's own `committed()` drops."""
        admin, _ = self._started()
        named = {self._named(partition): partition for partition in partitions}
        with translated():
            found = await admin.list_consumer_group_offsets(group, partitions=list(named))
        # An answer with an error for the whole group looks like an empty one in this client.
        if missing := named.keys() - found.keys():
            raise LogError(f"the coordinator of group {group} did not answer for {len(missing)} partitions")
        notes = {named[partition]: Committed(note.offset, note.metadata or "") for partition, note in found.items()}
        return {partition: note for partition, note in notes.items() if note.offset >= 0}

    async def weaknesses(self) -> list[str]:
        """Whether the brokers verify that a transaction's partitions were added; some brokers cannot say."""
        admin, raw = self._started()
        nodes = [broker.nodeId for broker in raw._client.cluster.brokers() if broker.nodeId != "bootstrap"]
        try:
            answers = await admin.describe_configs(
                [ConfigResource(ConfigResourceType.BROKER, str(node), {_VERIFICATION: None}) for node in nodes]
            )
        except kafka_errors.KafkaError as error:
            return [f"the brokers do not tell whether {_VERIFICATION} is on ({type(error).__name__}); keep it true"]
        values = [entry[1] for answer in answers for resource in answer.resources for entry in resource[4]]
        if not values:
            return [f"the brokers do not know {_VERIFICATION}; a frozen worker's late write cannot be stopped there"]
        if "false" in values:
            return [f"{_VERIFICATION} is false; set it to true, it stops a frozen worker's late write"]
        return []

    def consumer(self, group: str, topics: Collection[str], listener: Listener) -> KafkaGroupConsumer:
        """A new member of the group."""
        return KafkaGroupConsumer(self._settings, group, topics, listener, self._check_crcs, self._schemas)

    def producer(self, transactional_id: str) -> KafkaProducer:
        """A new producer."""
        settings = self._settings
        options = {
            "bootstrap_servers": settings.bootstrap_servers,
            "transaction_timeout_ms": settings.transaction_timeout_ms,
            "request_timeout_ms": settings.request_timeout_ms,
        }
        return KafkaProducer(transactional_id, self._prefix, options)

    async def read(
        self, partition: TopicPartition, start: int, end: int, stall_s: float
    ) -> AsyncGenerator[list[Record], None]:
        """Committed records up to `end`; "nothing came" is not "nothing more": only the position tells (step 3)."""
        if start >= end:
            return
        named = self._named(partition)
        consumer = AIOKafkaConsumer(**self._reader_options("read_committed"))
        with translated():
            await consumer.start()
        try:
            consumer.assign([named])
            consumer.seek(named, start)
            progress = _Progress(consumer, named, end, stall_s)
            while not progress.done:
                with translated():
                    found = await consumer.getmany(timeout_ms=50, max_records=5_000)
                records = [record for record in found.get(named, ()) if record.offset < end]
                if records:
                    yield _records(named, records, self._prefix)
                progress.look(bool(found))
                await asyncio.sleep(0)
        finally:
            await close(consumer)

    def _reader_options(self, isolation_level: str) -> dict[str, Any]:
        # No client_rack: a follower may not have the end of the log yet.
        return {
            "bootstrap_servers": self._settings.bootstrap_servers,
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": isolation_level,
            "check_crcs": self._check_crcs,
            "max_partition_fetch_bytes": FETCH_BYTES_PARTITION,
            "request_timeout_ms": self._settings.request_timeout_ms,
            "retry_backoff_ms": 100,
        }

    def _named(self, partition: TopicPartition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.partition)

    def _started(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._admin is None or self._raw is None:
            raise LogError("the log is not connected")
        check_alive(self._admin._client)
        check_alive(self._raw._client)
        return self._admin, self._raw


class _Progress:
    """Whether a reader reached the end, is on its way, or stands before a transaction that nobody ends.

    The position passes markers only inside `getmany`, which then returns nothing. A tail whose last batch was
    compacted away never moves the position: three answers without records, the stable offset at the end, count too.
    """

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition, end: int, stall_s: float) -> None:
        self._consumer, self._partition, self._end, self._stall_s = consumer, partition, end, stall_s
        self._position, self._polled, self._empty, self._since = -1, None, 0, time.monotonic()
        self.done = False

    def look(self, received: bool) -> None:
        """Look at the reader after a poll; raises `ChangelogStalledError`."""
        state = self._consumer._subscription.subscription.assignment.state_value(self._partition)
        position, polled, stable = state.position, state.timestamp, state.lso or 0
        if position != self._position or received:
            self._empty, self._since = 0, time.monotonic()
        elif polled != self._polled:
            self._empty += 1
        self._position, self._polled = position, polled
        self.done = position >= self._end or (self._empty >= EMPTY_ANSWERS and stable >= self._end)
        if not self.done and time.monotonic() - self._since > self._stall_s:
            raise ChangelogStalledError(
                f"{self._partition.topic} partition {self._partition.partition} cannot be read beyond offset "
                f"{position} of {self._end} (stable up to {stable}): a transaction hangs there. Find it with "
                "`kafka-transactions.sh find-hanging`, end it with `abort`, then start the worker again"
            )


def _records(partition: TopicPartition, records: Sequence[Any], prefix: str) -> list[Record]:
    topic, number = partition.topic.removeprefix(prefix), partition.partition
    return [Record(topic, number, one.offset, one.timestamp, one.key, one.value, one.headers) for one in records]
