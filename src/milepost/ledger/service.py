"""The ledger's loop: committed records in, rows and offsets out, one SQL transaction a poll.

Kafka's group says which partitions this ledger reads, the database says from where: no offset is ever committed to
Kafka. Whenever there is doubt (an assignment, a lost database, another owner) the answer is the same: pause, read the
offsets from the database again, seek there, go on.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from milepost.kafka.log import (
    ClientEndedError,
    GroupConsumer,
    GroupRefusedError,
    HoldError,
    Log,
    LogError,
    Span,
    TopicPartition,
)
from milepost.ledger.rows import TOPICS, Rows, rows_of
from milepost.ledger.watching import Watching, count
from milepost.observe import health, logs, metrics
from milepost.observe.hosting import StoppedError
from milepost.sql.engine import DatabaseError, Engine, UnavailableError, described
from milepost.sql.migrations import migrate
from milepost.sql.writing import ContradictionError, Move, TakenOverError, next_offsets, store

__all__ = ["Ledger", "PositionError"]

# For a member to leave its group.
_LEAVE_S = 5.0
# Between two tries after the database, the broker or another owner stood in the way.
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
# For a member that reads other topics to leave again, as during an upgrade.
_REFUSAL_GRACE_S = 10.0

_log = logs.logger(__name__)


class PositionError(StoppedError):
    """The database's offset does not exist in the topic; the message says what that means and what to do."""


class Ledger:
    """Keeps one database up to date with the output topics; several may share a group and a database.

    `prefix` is what stands before the topics' names on the brokers: offsets are kept by the full name. `run()` returns
    after `stop()`; it waits, saying for what, while the broker, a topic or the database is away, and raises
    `StoppedError` when waiting cannot help: a record that cannot be read or contradicts a row, an offset that does not
    exist, a database of a newer release, a group that cannot share. Nothing of the records concerned is stored then.
    """

    def __init__(
        self,
        log: Log,
        engine: Engine,
        *,
        group: str,
        prefix: str = "",
        max_records: int = 8_000,
        poll_timeout_s: float = 0.1,
        ready_lag_records: int = 100_000,
        gauges_interval_s: float = 30.0,
    ) -> None:
        self._kafka, self._engine, self._group, self._prefix = log, engine, group, prefix
        self._max_records, self._poll_timeout_s = max_records, poll_timeout_s
        self._consumer: GroupConsumer | None = None
        self._held: frozenset[TopicPartition] = frozenset()
        # Held, but waiting for a seek to the database's offset; nothing of these may be stored.
        self._unplaced: set[TopicPartition] = set()
        self._assignments = 0
        # Where the database's offset was when last seen: what the next transaction expects.
        self._expected: dict[TopicPartition, int | None] = {}
        self._storing: asyncio.Task[None] | None = None
        self._refused_since: float | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._asked: list[asyncio.Future[dict[TopicPartition, int]]] = []
        self._waiting: str | None = "has not begun"
        self._watching = Watching(engine, self._behind, gauges_interval_s)
        self._ready_lag_records = ready_lag_records
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Migrate, connect, then keep up until `stop()`; see the class for what it raises."""
        metrics.announce(ledger=TOPICS)
        health.watch("ledger", self.waits_for)
        watching = None
        try:
            await self._until_migrated()
            await self._until_connected()
            watching = asyncio.create_task(self._watching.run(), name="ledger-watching")
            while not self._stopping.is_set():
                await self._round()
        except (ClientEndedError, ContradictionError, DatabaseError, GroupRefusedError) as error:
            raise StoppedError(str(error)) from error
        finally:
            health.forget("ledger")
            self._ended.set()
            if watching is not None:
                watching.cancel()
            _answer(self._asked, {})
            if self._storing is not None:
                # Its rows and offsets are in or they are not; why not is for the next ledger to find out.
                await asyncio.gather(self._storing, return_exceptions=True)
            if self._consumer is not None:
                with suppress(TimeoutError):
                    # A client that has ended does not leave its group either.
                    async with asyncio.timeout(_LEAVE_S):
                        await self._consumer.stop()
            await self._kafka.stop()
            self._engine.dispose()

    def stop(self) -> None:
        """Finish the running transaction, leave the group and return from `run()`."""
        self._stopping.set()

    def waits_for(self) -> str | None:
        """What keeps this ledger from its work, in a sentence; None: it is ready."""
        if self._waiting is not None:
            return self._waiting
        if self._unplaced:
            return f"{len(self._unplaced)} partitions have no place yet"
        if self._watching.trouble is not None:
            return self._watching.trouble
        if self._watching.lag_records > self._ready_lag_records:
            return f"{self._watching.lag_records} records are still to be stored (MILEPOST_READY_LAG_RECORDS)"
        return None

    async def _behind(self) -> dict[TopicPartition, int]:
        held, consumer = self._held, self._consumer
        if consumer is None or not held:
            return {}
        ends = await consumer.ends(held)
        return {place: end - (consumer.position(place) or 0) for place, end in ends.items()}

    async def caught_up(self) -> bool:
        """Whether everything committed to this ledger's partitions before the call is stored; False without any."""
        held, consumer = self._held, self._consumer
        if consumer is None or not held or self._unplaced or self._ended.is_set():
            return False
        ends = await consumer.ends(held)
        if self._ended.is_set():
            return False
        reached: asyncio.Future[dict[TopicPartition, int]] = asyncio.get_running_loop().create_future()
        self._asked.append(reached)
        positions = await reached
        return held == self._held and all(positions.get(place, -1) >= end for place, end in ends.items())

    async def wait_until_caught_up(self, timeout_s: float) -> bool:
        """Wait for `caught_up()`; False when that took longer than `timeout_s` or the ledger has stopped."""
        until = time.monotonic() + timeout_s
        while not self._ended.is_set():
            try:
                if await self.caught_up():
                    return True
            except LogError:
                _log.debug("end offsets not available", exc_info=True)
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.05)
        return False

    def on_assigned(self, assigned: frozenset[TopicPartition]) -> None:
        """Every partition starts paused, at a placeholder, until `_place` has asked the database."""
        if self._consumer is None:
            return
        self._consumer.pause(assigned)
        for place in assigned:
            self._consumer.seek(place, 0)
        self._held, self._unplaced = assigned, set(assigned)
        self._expected.clear()
        self._assignments += 1

    async def on_revoked(self, revoked: frozenset[TopicPartition]) -> None:
        """Nothing to hand over: what is being stored is stored or refused, whoever reads the partition next."""

    async def _until_migrated(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(migrate, self._engine)
                return
            except UnavailableError as error:
                await self._wait("waiting for the database", found=str(error))

    async def _until_connected(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._kafka.start()
                break
            except LogError as error:
                await self._wait("waiting for Kafka", found=str(error))
        while not self._stopping.is_set():
            try:
                counts = await self._kafka.partition_counts(TOPICS)
                if missing := [self._prefix + topic for topic in TOPICS if not counts[topic]]:
                    await self._wait("waiting for topics", topics=missing, help="`milepost topics apply` creates them")
                    continue
                self._consumer = self._kafka.consumer(self._group, TOPICS, self)
                await self._consumer.start()
                break
            except LogError as error:
                await self._wait("waiting for Kafka", found=str(error))
        self._pause_s = _FIRST_PAUSE_S

    async def _round(self) -> None:
        """One poll and what follows from it; trouble that passes ends in a pause and a new place for everything."""
        asked, self._asked = self._asked, []
        positions: dict[TopicPartition, int] = {}
        try:
            if self._unplaced:
                await self._settle()
                await self._place()
            await self._poll()
            if asked:
                await self._settle()
                positions = {} if self._unplaced else self._positions()
            self._refused_since = None
        except GroupRefusedError as error:
            self._refused_since = self._refused_since or time.monotonic()
            if time.monotonic() - self._refused_since > _REFUSAL_GRACE_S:
                raise
            await self._start_over("the group cannot share its partitions", found=str(error))
        except TakenOverError as error:
            await self._start_over("another ledger stored these records", found=str(error))
        except UnavailableError as error:
            await self._start_over("waiting for the database", found=str(error))
        except HoldError as error:
            await self._start_over("holding records back", found=str(error))
        except LogError as error:
            await self._start_over("waiting for Kafka", found=str(error))
        finally:
            _answer(asked, positions)

    async def _place(self) -> None:
        """Seek every unplaced partition to the database's offset, or to its beginning when there is none."""
        assignments, waiting = self._assignments, frozenset(self._unplaced)
        offsets = await asyncio.to_thread(next_offsets, self._engine)
        spans = await self._kafka.spans(waiting)
        if assignments != self._assignments or self._consumer is None:
            return
        for place in sorted(waiting):
            offset = offsets.get((self._prefix + place.topic, place.partition))
            self._expected[place] = offset
            self._consumer.seek(place, self._checked(place, offset, spans[place]))
        self._consumer.resume(waiting)
        self._unplaced -= waiting
        _log.info("reading", partitions=len(waiting), from_the_beginning=not any(self._expected.values()))

    def _checked(self, place: TopicPartition, offset: int | None, span: Span) -> int:
        if offset is None:
            return span.begin
        name, database = f"{self._prefix}{place.topic}[{place.partition}]", described(self._engine)
        if offset > span.end:
            raise PositionError(
                f"{name} ends at {span.end}, {database} goes on at {offset}: the topic was created anew, or this is "
                "another cluster. Name this cluster's database in MILEPOST_DATABASE_URL, or an empty one to read "
                "everything again"
            )
        if offset < span.begin:
            raise PositionError(
                f"{name} begins at {span.begin}, {database} goes on at {offset}: records were deleted before the "
                f"ledger read them. To go on without them, set next_offset to {span.begin} in sink_offsets for this "
                "partition"
            )
        return offset

    async def _poll(self) -> None:
        """Read and decode a batch while the one before is being stored; then store it."""
        if self._consumer is None:
            raise LogError("the consumer is not running")
        found = await self._consumer.poll(self._poll_timeout_s, self._max_records)
        # A rebalance inside the poll took the expectation away; those records come again.
        batches = {place: batch for place, batch in found.items() if batch and place not in self._unplaced}
        if not batches:
            await self._settle()
            self._pause_s, self._waiting = _FIRST_PAUSE_S, None
            return
        started, assignments = time.perf_counter(), self._assignments
        rows = await asyncio.to_thread(rows_of, [record for place in sorted(batches) for record in batches[place]])
        await self._settle()
        if assignments != self._assignments:
            return
        ends = {place: batch[-1].offset + 1 for place, batch in batches.items()}
        moves = [
            Move(self._prefix + place.topic, place.partition, self._expected[place], end, rows.txseqs.get(place))
            for place, end in ends.items()
        ]
        # True once it is stored; until then nothing is stored on top of it, and a failure takes all places away.
        self._expected.update(ends)
        sizes = {place: len(batch) for place, batch in batches.items()}
        self._storing = asyncio.create_task(self._store(rows, moves, sizes, started))

    async def _store(
        self, rows: Rows, moves: Sequence[Move], sizes: Mapping[TopicPartition, int], started: float
    ) -> None:
        await asyncio.to_thread(store, self._engine, rows.added, rows.statuses, moves)
        self._pause_s, self._waiting = _FIRST_PAUSE_S, None
        count(rows.told)
        metrics.LEDGER_BATCH_SECONDS.observe(time.perf_counter() - started)
        for place, size in sizes.items():
            metrics.LEDGER_ROWS.labels(place.topic).inc(size)

    async def _settle(self) -> None:
        """Wait for the batch that is being stored; raises what became of it."""
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing

    def _positions(self) -> dict[TopicPartition, int]:
        if self._consumer is None:
            return {}
        found = {place: self._consumer.position(place) for place in self._held}
        return {place: position for place, position in found.items() if position is not None}

    async def _start_over(self, why: str, **fields: object) -> None:
        """Take every partition's place away, then pause; nothing stored is lost, nothing polled is kept."""
        if self._consumer is not None:
            self._consumer.pause(self._held)
        self._unplaced = set(self._held)
        await self._wait(why, **fields)

    async def _wait(self, why: str, **fields: object) -> None:
        self._waiting = f"{why}: {', '.join(map(str, fields.values()))}"
        _log.warning(why, again_in_s=self._pause_s, **fields)
        try:
            await asyncio.wait_for(self._stopping.wait(), self._pause_s)
        except TimeoutError:
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)


def _answer(asked: Sequence[asyncio.Future[dict[TopicPartition, int]]], positions: dict[TopicPartition, int]) -> None:
    for future in asked:
        if not future.done():
            future.set_result(positions)
