"""Notices a consumer that stands still: the end of its input moves, its position does not, and no call says why."""

import asyncio
import time
from typing import TYPE_CHECKING

from milepost.join.partition import Phase
from milepost.kafka.log import GroupConsumer, LogError, TopicPartition
from milepost.observe import logs

if TYPE_CHECKING:
    from milepost.join.service import JoinService

__all__ = ["Watchdog"]

log = logs.logger(__name__)


class Watchdog:
    """Looks at every partition that is being read; ends the worker when one has been standing for `stuck_s`."""

    def __init__(self, service: "JoinService", consumer: GroupConsumer) -> None:
        self._service, self._consumer = service, consumer
        self._standing: dict[TopicPartition, tuple[int, int, float]] = {}  # position, incarnation, since

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._service.options.stuck_s / 6)
            try:
                await self.look(time.monotonic())
            except LogError as error:
                log.warning("watchdog could not look", reason=str(error))

    async def look(self, now: float) -> None:
        """One look, at monotonic time `now`; raises `LogError` when the ends cannot be read."""
        reading = {
            TopicPartition(topic, number): partition
            for number, partition in self._service.partitions.items()
            if partition.phase is Phase.READY and not partition.paused and partition.backlog == 0
            for topic in self._service.options.inputs
        }
        if not reading:
            self._standing.clear()
            return
        ends = await self._consumer.ends(reading)
        standing: dict[TopicPartition, tuple[int, int, float]] = {}
        for partition, end in ends.items():
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
