"""Steps 6 and 7 of the protocol on real Kafka: one producer a partition, its transactions, and what it must not hide.

What the client (0.14) does not do by itself, and is done here: it commits a transaction from which a batch was
rejected, never gives up on an idempotent batch, repeats EndTxn without saying so, and waits 20 ms between transactions.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import aiokafka.producer.sender as aiokafka_sender
from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors
from aiokafka.protocol.transaction import EndTxnRequest

from milepost.kafka.log import Committed, FencedError, LogError, Message, RejectedError, TimedOutError, TopicPartition

__all__ = ["BACKOFF_S", "FAILURES", "EndTxnCounter", "KafkaProducer", "translate", "translated"]

# After a commit the coordinator still writes markers and answers "concurrent transactions" to the next one's first
# request; the client then waits a fixed 20 ms, 2 ms is what the markers take. From 55-99 to 260 transactions a second.
BACKOFF_S = 0.002
assert hasattr(aiokafka_sender, "BACKOFF_OVERRIDE"), "aiokafka renamed producer.sender.BACKOFF_OVERRIDE"
aiokafka_sender.BACKOFF_OVERRIDE = BACKOFF_S

# The broker's default for a batch is 1,048,588 bytes; a batch of several records must not be what it refuses.
BATCH_BYTES = 1_000_000


class InvalidRecordError(kafka_errors.BrokerResponseError):  # type: ignore[misc]  # aiokafka has no types
    """Code 87, which the client does not know: for example a record without a key in a compacted topic."""

    errno = 87
    message = "INVALID_RECORD"


# Codes that the client would call UnknownError, losing the number.
kafka_errors.kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)
kafka_errors.kafka_errors.setdefault(90, kafka_errors.ProducerFenced)

# What a record cannot get over by being sent again. InvalidTimestamp is not among them: it is this machine's clock.
_REJECTIONS = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError, InvalidRecordError)
# What the client raises: IllegalOperation when its sender gave the transaction up while the worker was still sending.
FAILURES = (kafka_errors.KafkaError, AssertionError, OSError, kafka_errors.IllegalOperation)
# A transaction that timed out was aborted by the coordinator, with a new epoch: the same as being fenced.
_FENCES = (
    kafka_errors.ProducerFenced,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.InvalidProducerIdMapping,
    kafka_errors.InvalidTxnState,
)


class EndTxnCounter:
    """Counts the EndTxn requests of a producer, repetitions included; made before the producer starts (step 7)."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.sent = 0
        send = producer.client.send
        assert producer._sender.client is producer.client, "aiokafka: the sender has a client of its own now"

        async def counting(node_id: int, request: Any, **options: Any) -> Any:
            self.sent += isinstance(request, EndTxnRequest)
            return await send(node_id, request, **options)

        producer.client.send = counting


class KafkaProducer:
    """`log.Producer` on aiokafka."""

    def __init__(self, transactional_id: str, prefix: str, options: Mapping[str, Any]) -> None:
        self._id, self._prefix, self._options = transactional_id, prefix, options
        self._producer: AIOKafkaProducer | None = None
        self._ends: EndTxnCounter | None = None
        self._waiting: list[tuple[TopicPartition, asyncio.Future[Any], int]] = []
        self._counts: dict[TopicPartition, int] = {}

    @property
    def sent(self) -> int:
        """Records sent to the busiest partition since `start`."""
        return max(self._counts.values(), default=0)

    async def start(self) -> None:
        """Take a new epoch: step 2."""
        producer = AIOKafkaProducer(
            transactional_id=self._id,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=BATCH_BYTES,
            compression_type=None,
            retry_backoff_ms=100,
            **self._options,
        )
        self._producer, self._ends = producer, EndTxnCounter(producer)
        with translated():
            await producer.start()

    async def begin(self) -> None:
        """Begin; a state that the client considers impossible surfaces as AssertionError."""
        with translated():
            await self._started().begin_transaction()
        self._waiting = []

    async def send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Queue records as whole batches, which costs a fraction of sending them one by one."""
        producer = self._started()
        target = TopicPartition(topic, partition)
        batch, size = producer.create_batch(), 0
        with translated():
            for key, value, given in messages:
                headers = list(given)  # the client's builder takes nothing else
                if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                    await self._queue(target, batch, size)
                    batch, size = producer.create_batch(), 0
                    batch.append(key=key, value=value, timestamp=None, headers=headers)
                size += 1
            if size:
                await self._queue(target, batch, size)

    async def _queue(self, target: TopicPartition, batch: Any, size: int) -> None:
        batch.close()
        # Two awaits: this one queues, the future says acknowledged.
        acknowledged = await self._started().send_batch(batch, self._prefix + target.topic, partition=target.partition)
        self._waiting.append((target, acknowledged, size))
        self._counts[target] = self._counts.get(target, 0) + size

    async def settle(self, timeout_s: float) -> dict[TopicPartition, int]:
        """Wait for every send; idempotent batches never expire by themselves, so the bound is ours."""
        if not self._waiting:
            return {}
        done, late = await asyncio.wait([future for _, future, _ in self._waiting], timeout=timeout_s)
        failures = [error for error in [future.exception() for future in done] if error]  # touch all of them
        if failures:
            # A rejection explains itself; what follows it on the same partition is out of sequence.
            with translated():
                raise next((error for error in failures if isinstance(translate(error), RejectedError)), failures[0])
        if late:
            raise TimedOutError(f"{len(late)} of {len(self._waiting)} batches not acknowledged within {timeout_s} s")
        placed = [(target, future.result().offset, size) for target, future, size in self._waiting]
        # Offset -1: the broker knew the batch already and no longer knew where it is.
        return {target: offset + size for target, offset, size in placed if offset >= 0}

    async def send_offsets(self, offsets: Mapping[TopicPartition, Committed], group: str) -> None:
        """Offsets after the sends: beside a Produce of the same id the broker refuses one of the two (KIP-890)."""
        named = {
            TopicPartition(self._prefix + partition.topic, partition.partition): (note.offset, note.metadata)
            for partition, note in offsets.items()
        }
        with translated():
            await self._started().send_offsets_to_transaction(named, group)

    async def commit(self) -> bool:
        """Commit, and say whether EndTxn went out exactly once (KAFKA-17754)."""
        assert self._ends is not None
        before = self._ends.sent
        with translated():
            await self._started().commit_transaction()
        return self._ends.sent == before + 1

    async def close(self, timeout_s: float) -> None:
        """Stop, bounded; then cut the sender's task and its connections."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        for _, future, _ in self._waiting:
            if future.done() and not future.cancelled():
                future.exception()  # nobody else will ask, and asyncio complains about that
            else:
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
        stopping = asyncio.ensure_future(producer.stop())
        _, late = await asyncio.wait({stopping}, timeout=timeout_s)
        if late:
            stopping.cancel()
            sender = producer._sender.sender_task
            if sender is not None:
                sender.cancel()
            await asyncio.wait({task for task in (stopping, sender) if task is not None}, timeout=timeout_s)
        if late or stopping.exception() is not None:
            await _cut(producer.client, timeout_s)
        _touch(producer, stopping)

    def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise LogError(f"the producer of {self._id} is not running")
        return self._producer


async def _cut(client: Any, timeout_s: float) -> None:
    """Close a client's connections, whatever its other tasks come to."""
    refreshing = client._sync_task
    if refreshing is not None:
        refreshing.cancel()
        await asyncio.wait({refreshing}, timeout=timeout_s)
        if refreshing.done() and not refreshing.cancelled():
            refreshing.exception()
        client._sync_task = None  # what it raised would keep the client from closing its connections
    with contextlib.suppress(*FAILURES, TimeoutError):
        await asyncio.wait_for(client.close(), timeout_s)


def _touch(producer: AIOKafkaProducer, stopping: asyncio.Future[None]) -> None:
    """Look at every exception that a closed producer holds: asyncio complains about those that nobody asked for."""
    accumulator = producer._message_accumulator
    batches = [*accumulator._pending_batches, *(batch for queue in accumulator._batches.values() for batch in queue)]
    futures = [stopping, producer._sender.sender_task, producer._txn_manager._transaction_waiter]
    futures += [future for batch in batches for future in (batch.future, batch._drain_waiter)]
    for future in futures:
        if future is not None and future.done() and not future.cancelled():
            future.exception()


def translate(error: BaseException) -> BaseException:
    """The port's name for a client's exception; everything that is none of its business comes back as it was."""
    if isinstance(error, LogError) or not isinstance(error, FAILURES):
        return error
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    text = f"{type(causes[-1]).__name__}: {causes[-1]}"
    if any(isinstance(cause, _FENCES) for cause in causes):
        return FencedError(text)
    if any(isinstance(cause, _REJECTIONS) for cause in causes):
        return RejectedError(text)
    return LogError(text)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise the port's exceptions instead of the client's."""
    try:
        yield
    except FAILURES as error:
        raise translate(error) from error
