"""One partition of the join: the protocol of docs/EXACTLY_ONCE.md, steps 2 to 9. The numbers are the same there.

 2. Fence            `PartitionJoin._fence`
 3. Restore          `restore.restore`
 4. Position         `restore.positions`
 5. Batch            `batch.Folding`, `PartitionJoin._fold`
 6. Send             `PartitionJoin._write`
 7. Commit           `PartitionJoin._write`, `_renew`
 8. Publish          `PartitionJoin._publish`
 9. Any exception    `PartitionJoin._discard`

Steps 1 and 10, and when to try again, are the service's (`service.py`).
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from milepost.codec.wire import header
from milepost.core.invariants import ConservationError
from milepost.join.batch import Batch, ByTopic, Folding, Outcome, Worker, digest, in_order, take
from milepost.join.options import JoinOptions
from milepost.join.restore import OFFSETS_KEY, Applied, PartitionRefusedError, Restored, Store, positions, restore
from milepost.kafka.log import (
    ChangelogStalledError,
    Committed,
    FencedError,
    Log,
    LogError,
    Message,
    Producer,
    RejectedError,
    TimedOutError,
    TopicPartition,
)
from milepost.observe import logs, metrics

__all__ = ["TXSEQ_HEADER", "PartitionJoin", "Phase", "Setting"]

TXSEQ_HEADER = "milepost-txseq"
DEAD_LETTER_TOPIC = "dead-letters"
REASON_HEADER = "milepost-error-code"
MESSAGE_HEADER = "__connect.errors.exception.message"
VIOLATION = ConservationError.__name__.encode()
log = logs.logger(__name__)


class Phase(Enum):
    """Where a partition stands."""

    ACQUIRING = "acquiring"  # steps 2 to 4
    READY = "ready"  # steps 5 to 8
    FAILED = "failed"  # after step 9, before the next attempt
    STOPPED = "stopped"  # refused; somebody has to look


@dataclass(frozen=True)
class Setting:
    """What all partitions of a worker share. `on_step(name, partition)` is called at each point of the protocol."""

    source: Log
    worker: Worker
    options: JoinOptions
    make_store: Callable[[int], Store]
    on_step: Callable[[str, int], None]


class PartitionJoin:
    """A partition that this worker was assigned, until it is taken away.

    The poll task reads `phase`, `incarnation`, `wants_seek`, `positions` and `backlog`, and calls `offer`; everything
    else happens in the partition's own task.
    """

    def __init__(self, number: int, setting: Setting) -> None:
        self.number, self.setting, self.options = number, setting, setting.options
        self.phase = Phase.ACQUIRING
        self.incarnation = 0
        self.wants_seek = False
        self.paused = True
        self.positions: dict[str, int] = {}
        self.applied = Applied(0, "", {})
        self.idle = asyncio.Event()  # no transaction is running
        self.idle.set()
        self.trouble = ""  # why the phase is FAILED or STOPPED
        self.commits = 0
        self._place = {topic: place for place, topic in enumerate(self.options.inputs)}
        self._changelog = TopicPartition(self.options.state_topic, number)
        self._producer: Producer | None = None
        self._restored: Restored | None = None
        self._confirmed_at = 0.0  # wall clock of the last proof that nobody else wrote the changelog
        self._queue: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._folding = Folding(setting.worker, self.options.chunk_records, self.options.max_record_bytes)
        self._caution: int | None = None  # most records in a transaction while a rejected one is looked for
        self._suspects = 0  # records until the caution ends

    # ------------------------------------------------------------------------------------------- for the poll task

    @property
    def backlog(self) -> int:
        """Records that wait."""
        return sum(batch.size for batch in self._queue)

    def offer(self, batch: Batch) -> None:
        """Queue a batch; what has another incarnation by the time it is taken is dropped whole."""
        self._queue.append(batch)
        self._arrived.set()

    def bump(self) -> None:
        """A new incarnation: at every seek, failure, assignment and end. Nothing counts until the seek that follows."""
        self.incarnation += 1
        self.wants_seek = True
        self._queue.clear()

    def is_current(self, batch: Batch) -> bool:
        """Whether `batch` follows what was folded before it."""
        return batch.incarnation == self.incarnation

    # ------------------------------------------------------------------------------------------------- its own task

    async def tenure(self) -> None:
        """Steps 2 to 8 until something fails, then 9; raises what failed."""
        try:
            if self._producer is None:
                self.phase = Phase.ACQUIRING
                await self._acquire()
            self.phase, self.trouble, self.wants_seek = Phase.READY, "", True
            while True:
                await self._join(await self._next_batch())
        except BaseException as error:
            await self._discard(error)
            raise

    async def release(self) -> None:
        """Stop the producer of a partition that is given up in good order."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close(self.options.close_timeout_s)

    async def _acquire(self) -> None:
        await self._fence()
        await self._restore()
        assert self._restored is not None
        # 4. Position: seek and resume follow in the poll task, which alone may.
        self.positions = await positions(
            self.setting.source, self.options.group, self.options.inputs, self.number, self._restored.applied
        )
        self._step("after-position")

    async def _fence(self) -> None:
        # 2. Fence: before anything is read. When start() returns, the predecessor's transaction is final.
        self._producer = self.setting.source.producer(self.options.transactional_id(self.number))
        try:
            async with asyncio.timeout(self.options.fence_timeout_s):
                await self._producer.start()
        except TimeoutError:
            raise TimedOutError(f"no new producer epoch within {self.options.fence_timeout_s} s") from None
        self._step("after-fence")

    async def _restore(self) -> None:
        # 3. Restore: all of it, or the tail after what this process itself last knew to be committed.
        known = self._restored
        if known is not None and not 0 <= time.time() - self._confirmed_at < self.options.keep_state_s:
            known = None
        started = time.monotonic()
        try:
            self._restored = await restore(
                self.setting.source,
                self._changelog,
                known,
                lambda: self.setting.make_store(self.number),
                self.options.stall_s,
                lambda: self._step("mid-restore"),
            )
        except ChangelogStalledError as stalled:
            raise PartitionRefusedError(str(stalled)) from None
        self.applied, self._confirmed_at = self._restored.applied, time.time()
        log.info(
            "partition restored",
            partition=self.number,
            txseq=self.applied.txseq,
            whole=known is None,
            seconds=round(time.monotonic() - started, 3),
        )
        metrics.RESTORE_SECONDS.observe(time.monotonic() - started)
        self._step("after-restore")

    async def _next_batch(self) -> Batch:
        """The next batches of this incarnation, joined while they fit: many while there is a backlog."""
        while True:
            first = None
            while self._queue:
                batch = self._queue.popleft()
                if not self.is_current(batch):
                    continue
                first = batch
                break
            if first is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            size = first.size
            while (
                self._queue
                and self.is_current(self._queue[0])
                and (size + self._queue[0].size <= self.options.max_records)
            ):
                following = self._queue.popleft()
                size += following.size
                for topic, records in following.records.items():
                    first.records.setdefault(topic, []).extend(records)
            return first

    async def _join(self, batch: Batch) -> None:
        self.idle.clear()
        try:
            rest = batch.records
            while rest:
                part, rest = take(rest, self._caution, self._place)
                if not await self._transact(part, batch):
                    return
        finally:
            self.idle.set()

    async def _transact(self, records: ByTopic, batch: Batch) -> bool:
        """Steps 5 to 8 for one transaction; False: the batch belongs to another incarnation and was dropped."""
        assert self._producer is not None
        count = sum(map(len, records.values()))
        outcome = await self._fold(records, batch)
        if outcome is None:
            return False
        applied = Applied(
            self.applied.txseq + 1,
            digest(outcome.outputs, outcome.changes),
            {**self.positions, **{topic: some[-1].offset + 1 for topic, some in records.items()}},
        )
        changes = [*outcome.changes, (OFFSETS_KEY, applied.encode())]
        if self._producer.sent + len(outcome.outputs) + len(changes) > self.options.renew_after_records:
            await self._renew()
            if not self.is_current(batch):
                return False
        try:
            next_offset, clean = await self._write(outcome, changes, applied, list(records))
        except RejectedError as error:
            self._suspect(records, count, str(error))
            raise
        self._publish(outcome, changes, applied, records, next_offset, clean)
        metrics.BATCH_SECONDS.observe(time.monotonic() - batch.polled_at)
        self._suspects -= count
        if self._suspects <= 0:
            self._caution = None
        if not clean:
            await self._renew()
        return True

    async def _fold(self, records: ByTopic, batch: Batch) -> Outcome | None:
        # 5. Batch: a staged copy, records in the one order that the audit trail records, sizes looked at.
        for topic, some in records.items():
            if some[0].offset < self.positions[topic]:
                raise LogError(
                    f"{topic} partition {self.number}: offset {some[0].offset} came again, "
                    f"next is {self.positions[topic]}"
                )
        store = self._state().store
        outcome = await self._folding.fold(in_order(records, self._place), store, lambda: self.is_current(batch))
        if outcome is not None:
            self._step("after-fold")
        return outcome

    async def _write(
        self, outcome: Outcome, changes: list[tuple[bytes, bytes | None]], applied: Applied, topics: list[str]
    ) -> tuple[int | None, bool]:
        """Steps 6 and 7. The changelog's next offset when it is known, and whether EndTxn went out once."""
        producer, options = self._producer, self.options
        assert producer is not None
        txseq = (TXSEQ_HEADER, str(applied.txseq).encode())
        outgoing: dict[str, list[Message]] = {}
        for output in outcome.outputs:
            outgoing.setdefault(output.topic, []).append(Message(output.key, output.value, [*output.headers, txseq]))
        outgoing[options.state_topic] = [Message(key, value) for key, value in changes]
        if options.history_topic is not None:
            outgoing[options.history_topic] = [Message(None, applied.encode(), [txseq])]
        try:
            async with asyncio.timeout(options.transaction_bound_s):
                # 6. Send: begin after the fold; then every acknowledgement, bounded, before the offsets go out.
                await producer.begin()
                self._step("after-begin")
                for topic, messages in outgoing.items():
                    await producer.send(topic, self.number, messages)
                    self._step("after-send")
                acknowledged = await producer.settle(options.send_timeout_s)
                self._step("after-await")
                # 7. Commit: offsets with the transaction's number and hash, then the transaction.
                notes = {
                    TopicPartition(topic, self.number): Committed(applied.offsets[topic], applied.note)
                    for topic in topics
                }
                await producer.send_offsets(notes, options.group)
                self._step("after-offsets")
                clean = await producer.commit()
        except TimeoutError:
            raise TimedOutError(f"the transaction did not end within {options.transaction_bound_s} s") from None
        self._step("after-commit")
        return acknowledged.get(self._changelog), clean

    async def _renew(self) -> None:
        """7, continued: a new epoch, then proof that nothing but our own last transaction is in the changelog."""
        before = self.applied
        await self.release()
        await self._fence()
        await self._restore()
        if self.applied != before:
            raise LogError(f"transaction {self.applied.note} is in the changelog; this worker's last is {before.note}")
        log.info("epoch renewed", partition=self.number, txseq=before.txseq)

    def _publish(
        self,
        outcome: Outcome,
        changes: list[tuple[bytes, bytes | None]],
        applied: Applied,
        records: ByTopic,
        next_offset: int | None,
        clean: bool,
    ) -> None:
        # 8. Publish: the state moves only now; nothing here waits, so nothing can come in between.
        state = self._state()
        state.store.apply(changes)
        self._restored = Restored(state.store, applied, state.next_offset if next_offset is None else next_offset)
        self.applied, self.positions, self._confirmed_at = applied, dict(applied.offsets), time.time()
        self.commits += 1
        if self._folding.condemned:
            waiting = self._folding.condemned.items()
            self._folding.condemned = {
                (topic, offset): why for (topic, offset), why in waiting if offset >= self.positions[topic]
            }
        self._step("after-publish")
        for topic, some in records.items():
            metrics.EVENTS_IN.labels(topic).inc(len(some))
        for topic, count in Counter(output.topic for output in outcome.outputs).items():
            metrics.OUTPUTS.labels(topic).inc(count)
        dead = [output for output in outcome.outputs if output.topic == DEAD_LETTER_TOPIC]
        violated = sum(VIOLATION in (header(output.headers, MESSAGE_HEADER) or b"") for output in dead)
        metrics.CONSERVATION_VIOLATIONS.inc(violated)
        for reason, count in Counter(header(output.headers, REASON_HEADER) or b"UNKNOWN" for output in dead).items():
            metrics.DEAD_LETTERS.labels(reason.decode()).inc(count)
        metrics.TRANSACTIONS.labels("committed" if clean else "uncertain").inc()
        metrics.BATCH_RECORDS.observe(sum(map(len, records.values())))
        metrics.LAST_COMMIT.set_to_current_time()

    def _suspect(self, records: ByTopic, count: int, message: str) -> None:
        """The broker refused an output of one of `count` records: halve, until it is one, which is condemned."""
        if count == 1:
            (topic, [record]) = next(iter(records.items()))
            if (topic, record.offset) in self._folding.condemned:
                raise PartitionRefusedError(
                    f"{topic} partition {self.number} offset {record.offset}: the broker refuses its dead letter too "
                    f"({message}); raise max.message.bytes of {DEAD_LETTER_TOPIC} and {self.options.state_topic}"
                )
            self._folding.condemned[topic, record.offset] = message
            log.error("record condemned", partition=self.number, topic=topic, offset=record.offset, reason=message)
        self._caution, self._suspects = max(1, count // 2), count

    async def _discard(self, error: BaseException) -> None:
        # 9. Any exception, cancellation included: what was staged is garbage by now; never abort and go on.
        self.phase, self.trouble = Phase.FAILED, str(error) or type(error).__name__
        self.bump()
        self._step("in-discard")
        fenced = isinstance(error, FencedError)
        if fenced:
            self._restored = None  # somebody else may have gone on from here
        if not isinstance(error, asyncio.CancelledError | PartitionRefusedError):
            metrics.TRANSACTIONS.labels("fenced" if fenced else "failed").inc()
        await self.release()

    def _state(self) -> Restored:
        assert self._restored is not None, "folding before restoring"
        return self._restored

    def _step(self, name: str) -> None:
        self.setting.on_step(name, self.number)
