"""Measures how far behind the worker is, and notices a consumer that stands still: the end of its input moves, its
position does not, and no call says why."""

import asyncio
import time
from typing import TYPE_CHECKING

from milepost.join.partition import Phase
from milepost.kafka.log import GroupConsumer, TopicPartition
from milepost.kafka.looking import LOOK_S, unanswered
from milepost.observe import logs, metrics

if TYPE_CHECKING:
    from milepost.join.service import JoinService

__all__ = ["Watchdog"]

log = logs.logger(__name__)


class Watchdog:
    """Looks at every partition that is being read; ends the worker when one has been standing for `stuck_s`."""

    def __init__(self, service: "JoinService", consumer: GroupConsumer) -> None:
        self._service, self._consumer = service, consumer
        self._standing: dict[TopicPartition, tuple[int, int, float]] = {}  # position, incarnation, since
        self.lag_records = 0  # of all partitions together, at the last look
        self.trouble: str | None = None  # why the last look saw nothing

    async def run(self) -> None:
        """Look until cancelled; a worker that has ended is not behind with anything."""
        try:
            while True:
                await asyncio.sleep(min(LOOK_S, self._service.options.stuck_s / 6))
                self.trouble = await unanswered(self.look(time.monotonic()))
                if self.trouble is not None:
                    log.warning("watchdog could not look", reason=self.trouble)
        finally:
            self._measure({})

    async def look(self, now: float) -> None:
        """One look, at monotonic time `now`; raises `LogError` when the ends cannot be read."""
        held = {
            TopicPartition(topic, number): partition
            for number, partition in self._service.partitions.items()
            if partition.phase is Phase.READY
            for topic in self._service.options.inputs
        }
        ends = await self._consumer.ends(held) if held else {}
        self._measure({place: end - held[place].positions.get(place.topic, 0) for place, end in ends.items()})
        reading = {place: one for place, one in held.items() if not one.paused and one.backlog == 0}
        standing: dict[TopicPartition, tuple[int, int, float]] = {}
        for partition, end in ends.items():
            if partition not in reading:
                continue
            position, incarnation = self._consumer.position(partition), reading[partition].incarnation
            if position is None or position >= end:
                continue
            before = self._standing.get(partition)
            same = before is not None and before[:2] == (position, incarnation)
            since = before[2] if same and before is not None else now
            standing[partition] = (position, incarnation, since)
            if now - since >= self._service.options.stuck_s:
                self._service.fail(
                    f"{partition.topic} partition {partition.partition} is not read any more: at offset {position} for "
                    f"{now - since:.0f} s, committed up to {end}; the client lost the broker without saying so. Start "
                    "the worker again"
                )
        self._standing = standing

    def _measure(self, behind: dict[TopicPartition, int]) -> None:
        by_topic = dict.fromkeys(self._service.options.inputs, 0)
        for place, count in behind.items():
            by_topic[place.topic] += max(0, count)
        for topic, count in by_topic.items():
            metrics.JOIN_LAG.labels(topic).set(count)
        self.lag_records = sum(by_topic.values())
