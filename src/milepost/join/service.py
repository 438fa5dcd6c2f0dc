"""A worker of the join: takes partitions from its group, polls for all of them, and starts each again when it fails.

 1. Assigned         `JoinService.on_assigned`, `JoinService._obey`
10. Revoked, the end `JoinService.on_revoked`, `JoinService._shut_down`

Steps 2 to 9 are a partition's (`partition.py`). Only the poll task calls `poll`, `seek`, `pause` and `resume`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from milepost.join.batch import Batch, ByTopic, Worker
from milepost.join.connecting import UnequalError, connect
from milepost.join.options import JoinOptions
from milepost.join.partition import PartitionJoin, Phase, Setting
from milepost.join.restore import PartitionRefusedError, Store
from milepost.join.watchdog import Watchdog
from milepost.kafka.log import (
    ClientEndedError,
    FencedError,
    GroupConsumer,
    GroupRefusedError,
    HoldError,
    Log,
    LogError,
    TopicPartition,
)
from milepost.observe import health, logs, metrics
from milepost.observe.hosting import StoppedError

__all__ = ["JoinService", "WorkerStoppedError"]

log = logs.logger(__name__)
REFUSAL_PAUSE_S = 1.0  # the leader's poll raises at once and again, and each time the whole group joins anew


class WorkerStoppedError(StoppedError):
    """This worker of the join cannot go on being right; the message is the one line that says why."""


class JoinService:
    """One worker. `run()` returns after `stop()`, or raises `WorkerStoppedError`.

    For tests: `partition_type` and the `Log` are where a protection can be taken out, `on_step(name, partition)` is
    called at every point of the protocol. Nothing here is switched off by a setting.
    """

    def __init__(
        self,
        source: Log,
        worker: Worker,
        options: JoinOptions,
        make_store: Callable[[int], Store],
        on_step: Callable[[str, int], None] = lambda name, partition: None,
        partition_type: type[PartitionJoin] = PartitionJoin,
    ) -> None:
        self.source, self.options = source, options
        self.partitions: dict[int, PartitionJoin] = {}
        self._setting = Setting(source, worker, options, make_store, on_step)
        self._partition_type = partition_type
        self._member: GroupConsumer | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._held = asyncio.Event()  # between "assigned" and "revoked"
        self._stopping = asyncio.Event()
        self._failure: WorkerStoppedError | None = None
        self._fences: deque[float] = deque()
        self._refused_since: float | None = None
        self._poll_failures = 0
        self._trouble: str | None = "has not begun"  # what the whole worker waits for
        self._polling: LogError | None = None  # what the last poll found in its way
        self._watchdog: Watchdog | None = None

    def stop(self) -> None:
        """Ask for the graceful end: step 10. May be called from a signal handler, and more than once."""
        self._stopping.set()

    @property
    def ready(self) -> bool:
        """Whether every partition that this worker has is restored and being joined."""
        return bool(self.partitions) and all(one.phase is Phase.READY for one in self.partitions.values())

    def _waits(self, why: str) -> None:
        self._trouble = why

    def waits_for(self) -> str | None:
        """What keeps this worker from its work, in a sentence; None: it is ready."""
        if self._trouble is not None:
            return self._trouble
        for number, partition in sorted(self.partitions.items()):
            if partition.phase is not Phase.READY:
                return f"partition {number} is {partition.phase.value} {partition.trouble}".rstrip()
        if self._polling is not None:
            return f"{'holding records back' if isinstance(self._polling, HoldError) else 'polling'}: {self._polling}"
        if self._watchdog is not None and self._watchdog.trouble is not None:
            return self._watchdog.trouble
        lag = self._watchdog.lag_records if self._watchdog else 0
        if lag > self.options.ready_lag_records:
            return f"{lag} records are still to be joined (MILEPOST_READY_LAG_RECORDS)"
        return None

    async def run(self) -> None:
        """Work until `stop()`; raises `WorkerStoppedError`. Opens and closes the log; waits while nobody is there."""
        tasks: list[asyncio.Task[Any]] = []
        health.watch("join", self.waits_for)
        metrics.announce(self.options.inputs, self.options.outputs)
        try:
            if not await connect(self.source, self.options, self._stopping, self._waits):
                return
            for sentence in await self.source.weaknesses():
                log.warning("exactly once is weaker than it should be", why=sentence)
            self._member = self.source.consumer(self.options.group, self.options.inputs, self)
            await self._consumer.start()
            tasks.append(asyncio.create_task(self._poll_for_ever(), name="join-poll"))
            self._watchdog = Watchdog(self, self._consumer)
            tasks.append(asyncio.create_task(self._watchdog.run(), name="join-watchdog"))
            tasks.append(asyncio.create_task(self._stopping.wait(), name="join-stop"))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (LogError, UnequalError, ClientEndedError) as error:
            self._fail(str(error))
        finally:
            health.forget("join")
            await self._shut_down(tasks)
        if self._failure is None and any(one.phase is Phase.STOPPED for one in self.partitions.values()):
            self._fail("; ".join(one.trouble for one in self.partitions.values() if one.phase is Phase.STOPPED))
        if self._failure is not None:
            raise self._failure

    @property
    def _consumer(self) -> GroupConsumer:
        assert self._member is not None, "used before the log was connected"
        return self._member

    def fail(self, reason: str) -> None:
        """End the worker, non-zero, with this reason."""
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        if self._failure is None:
            self._failure = WorkerStoppedError(reason)
            log.error("worker stops", reason=reason)
        self._stopping.set()

    # ---------------------------------------------------------------------------------------- 1. assigned, 10. revoked

    def on_assigned(self, assigned: frozenset[TopicPartition]) -> None:
        """1. Assigned: nothing here may wait. Every rebalance forgets pauses and positions."""
        self._consumer.pause(assigned)
        for partition in assigned:
            # A placeholder: a poll with no position raises, paused or not, when positions are never reset.
            self._consumer.seek(partition, 0)
        numbers = {partition.partition for partition in assigned}
        for number in self.partitions.keys() - numbers:
            self._give_up(number)
        for number in sorted(numbers):
            partition = self.partitions.get(number)
            if partition is None or partition.phase is Phase.STOPPED:
                self._take_up(number)
            else:
                # It comes back with producer and state; had somebody else held it, the first send would be fenced.
                partition.bump()
                partition.paused = True
        self._held.set()
        self._trouble = None
        self._setting.on_step("assigned", -1)
        log.info("partitions assigned", partitions=sorted(numbers))

    async def on_revoked(self, revoked: frozenset[TopicPartition]) -> None:
        """10. Revoked: running transactions may finish, within a bound; whatever is queued is fetched again."""
        self._held.clear()
        self._setting.on_step("in-revoked", -1)
        await self._finish_transactions(self.options.revoke_timeout_s)

    async def _finish_transactions(self, timeout_s: float) -> None:
        waits: dict[asyncio.Task[bool], int] = {}
        for number, partition in self.partitions.items():
            partition.bump()
            if not partition.idle.is_set():
                waits[asyncio.create_task(partition.idle.wait())] = number
        if not waits:
            return
        _, late = await asyncio.wait(waits, timeout=timeout_s)
        for wait in late:
            wait.cancel()
            log.warning("transaction cut off", partition=waits[wait], after_s=timeout_s)
            task = self._tasks.get(waits[wait])
            if task is not None:
                task.cancel()

    def _take_up(self, number: int) -> None:
        partition = self.partitions[number] = self._partition_type(number, self._setting)
        self._start(number, partition)

    def _start(self, number: int, partition: PartitionJoin) -> None:
        task = asyncio.create_task(self._tend(partition), name=f"join-{number}")
        self._tasks[number] = task
        task.add_done_callback(lambda done: self._tended(number, partition, done))

    def _tended(self, number: int, partition: PartitionJoin, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            # Cut off at a rebalance: if the partition is still here it starts again once the assignment is known.
            if self.partitions.get(number) is partition and not self._stopping.is_set():
                self._start(number, partition)
        elif (error := task.exception()) is not None:
            log.error("partition broke", partition=number, exc_info=error)
            self._fail(f"partition {number}: {type(error).__name__}: {error}")

    def _give_up(self, number: int) -> None:
        partition, task = self.partitions.pop(number), self._tasks.pop(number, None)
        partition.bump()
        if task is not None:
            task.cancel()
        self._spawn(self._release(partition, task))

    async def _release(self, partition: PartitionJoin, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            await asyncio.wait({task})
        await partition.release()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # ---------------------------------------------------------------------------------------------- the poll task

    async def _poll_for_ever(self) -> None:
        while True:
            self._obey()
            try:
                found = await self._consumer.poll(self.options.poll_timeout_s, self.options.max_records)
            except GroupRefusedError as refused:
                await self._refused(str(refused))
                continue
            except LogError as error:
                await self._poll_failed(error)
                continue
            self._refused_since, self._poll_failures = None, 0
            if found or not isinstance(self._polling, HoldError):  # what is held back comes again, and then not at once
                self._polling = None
            if found:
                self._dispatch(found)
                await asyncio.sleep(0)

    def _dispatch(self, found: dict[TopicPartition, list[Any]]) -> None:
        # Nothing waits between the client's answer and this, so the incarnation is the one it was polled under.
        by_number: dict[int, ByTopic] = {}
        for (topic, number), records in found.items():
            by_number.setdefault(number, {})[topic] = records
        now = time.monotonic()
        for number, topics in by_number.items():
            partition = self.partitions.get(number)
            if partition is not None and partition.phase is Phase.READY and not partition.wants_seek:
                partition.offer(Batch(partition.incarnation, topics, now))
            # Others get a seek before anything of theirs counts.

    def _obey(self) -> None:
        """Seek, pause and resume for the partitions: here, because only this task may."""
        if self._stopping.is_set():
            return  # each partition waits for a seek that will not come: what is still polled is dropped
        ready = 0
        for number, partition in self.partitions.items():
            topics = [TopicPartition(topic, number) for topic in self.options.inputs]
            is_ready = partition.phase is Phase.READY
            ready += is_ready
            if is_ready and partition.wants_seek and partition.idle.is_set():
                partition.bump()
                for topic in topics:
                    self._consumer.seek(topic, partition.positions[topic.topic])
                partition.wants_seek = False
                self._consumer.resume(topics)
                partition.paused = False
                continue
            # A running transaction may still move the positions: its partition waits, paused, for the seek.
            must_pause = not is_ready or partition.wants_seek or partition.backlog >= self.options.queue_records
            if must_pause and not partition.paused:
                self._consumer.pause(topics)
                partition.paused = True
            elif partition.paused and not must_pause and partition.backlog < self.options.queue_records // 2:
                self._consumer.resume(topics)
                partition.paused = False
        metrics.PARTITIONS.set(ready)

    async def _refused(self, reason: str) -> None:
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        if now - self._refused_since >= self.options.refusal_grace_s:
            self._fail(reason)
        else:
            log.error("group refused", reason=reason)
        await asyncio.sleep(REFUSAL_PAUSE_S)

    async def _poll_failed(self, error: LogError) -> None:
        """After an exception the client may have passed over records that it did not return: all positions again."""
        self._polling, reason = error, str(error)
        # What only waits for others is waited for as long as it takes.
        self._poll_failures = 1 if isinstance(error, HoldError) else self._poll_failures + 1
        for partition in self.partitions.values():
            partition.bump()
        log.error("poll failed", reason=reason, failures=self._poll_failures)
        if self._poll_failures >= self.options.poll_failures_most:
            self._fail(f"polling failed {self._poll_failures} times in a row: {reason}")
        await asyncio.sleep(min(self.options.retry_most_s, self.options.retry_first_s * 2**self._poll_failures))

    # ----------------------------------------------------------------------------------------------- a partition's life

    async def _tend(self, partition: PartitionJoin) -> None:
        """Tenure after tenure: fence, restore, join; after a failure again, with a pause."""
        failures = 0
        while True:
            # Fencing a partition that was given to somebody else would only disturb them.
            await self._held.wait()
            commits = partition.commits
            try:
                await partition.tenure()
            except PartitionRefusedError as refused:
                self._refuse(partition, str(refused))
                return
            except FencedError as error:
                # If the partition now belongs to another worker, the next heartbeat says so and this task ends.
                self._count_fence(partition, str(error))
                await asyncio.sleep(self.options.heartbeat_s * 1.5)
            except LogError as error:
                failures = 1 if partition.commits > commits else failures + 1
                pause = min(self.options.retry_most_s, self.options.retry_first_s * 2 ** (failures - 1))
                log.warning("partition failed", partition=partition.number, reason=str(error), again_in_s=pause)
                await asyncio.sleep(pause)

    def _refuse(self, partition: PartitionJoin, reason: str) -> None:
        partition.phase, partition.trouble = Phase.STOPPED, reason
        log.error("partition stopped", partition=partition.number, reason=reason)
        if all(one.phase is Phase.STOPPED for one in self.partitions.values()):
            self._fail("; ".join(dict.fromkeys(one.trouble for one in self.partitions.values())))

    def _count_fence(self, partition: PartitionJoin, reason: str) -> None:
        now = time.monotonic()
        self._fences.append(now)
        while now - self._fences[0] > self.options.fences_window_s:
            self._fences.popleft()
        log.warning("partition fenced", partition=partition.number, reason=reason, fences=len(self._fences))
        if len(self._fences) >= self.options.fences_most:
            self._fail(
                f"fenced {len(self._fences)} times within {self.options.fences_window_s:.0f} s, last on partition "
                f"{partition.number} ({reason}): another process uses the transactional ids {self.options.app}."
                f"{self.options.group}.*, or transactions take longer than the broker allows"
            )

    # ------------------------------------------------------------------------------------------------------ 10. the end

    async def _shut_down(self, tasks: list[asyncio.Task[Any]]) -> None:
        """10. Finish transactions within a bound, stop producers, leave the group; nothing waits for the poll task."""
        self._stopping.set()
        bound = self.options.shutdown_timeout_s / 4
        await self._finish_transactions(bound)
        for task in self._tasks.values():
            task.cancel()
        for number, partition in self.partitions.items():
            self._spawn(self._release(partition, self._tasks.get(number)))
        if self._background:
            await asyncio.wait(set(self._background), timeout=bound)
        try:
            async with asyncio.timeout(bound):
                if self._member is not None:
                    await self._member.stop()
        except (TimeoutError, LogError) as error:
            log.warning("left the group without saying so", reason=str(error) or "no answer")
        # A poll does not notice that its consumer stopped.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(bound):
                await self.source.stop()
        except TimeoutError:
            log.warning("connections cut off", after_s=bound)
        metrics.PARTITIONS.set(0)
        log.info("worker ended", partitions=sorted(self.partitions))
