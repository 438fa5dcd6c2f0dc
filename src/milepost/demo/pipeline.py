"""The join and the ledger at work in one process, as `milepost run all` has them, and a way to wait for them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any

from milepost.join.service import JoinService
from milepost.join.wiring import join_service
from milepost.kafka.log import LogError, TopicPartition
from milepost.kafka.publishing import Place
from milepost.ledger.service import Ledger
from milepost.ledger.wiring import ledger_service
from milepost.observe.hosting import StoppedError
from milepost.settings import Settings

__all__ = ["Pipeline", "PipelineError"]

# A group forms within a few seconds; one whose last member was killed waits for its session to time out first.
START_S = 60.0
FOLD_S = 30.0
LEDGER_S = 30.0
STOP_S = 20.0
POLL_S = 0.005


class PipelineError(Exception):
    """The pipeline did not do what was asked in time, or ended; the message says which part, and the way out."""


class Pipeline:
    """Async context manager: a worker of the join and a ledger, ready on entry, ended in good order on exit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.join: JoinService = join_service(settings)
        self.ledger: Ledger = ledger_service(settings)
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> "Pipeline":
        """Start both. Raises `PipelineError`."""
        self._tasks = [asyncio.create_task(self.join.run()), asyncio.create_task(self.ledger.run())]
        try:
            group = self._settings.group
            await self._until(
                self._ready,
                START_S,
                f"the join got no partitions within {START_S:.0f} s: if other workers of group {group} run, stop "
                "them or set MILEPOST_GROUP",
            )
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def folded(self, places: Iterable[Place]) -> None:
        """Wait until the join has committed what it made of these records. Raises `PipelineError`."""
        ends: dict[TopicPartition, int] = {}
        for topic, partition, offset in places:
            where = TopicPartition(topic, partition)
            ends[where] = max(ends.get(where, 0), offset + 1)
        await self._until(
            lambda: self._passed(ends), FOLD_S, f"the join did not fold what was published within {FOLD_S:.0f} s"
        )

    async def stored(self, holds: Callable[[], bool]) -> bool:
        """Wait until the ledger has caught up and its database is as `holds` wants it; False if it never is."""
        until = time.monotonic() + LEDGER_S
        while time.monotonic() < until:
            self.check()
            # The markers of a committed transaction may come a moment after its answer: caught up once is not enough.
            caught_up = await self.ledger.wait_until_caught_up(max(0.1, until - time.monotonic()))
            if caught_up and await asyncio.to_thread(holds):
                return True
            await asyncio.sleep(0.05)
        return False

    async def ended(self) -> None:
        """Wait until one of the two ends by itself; raises `PipelineError`."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self.check()

    def check(self) -> None:
        """Raise `PipelineError` when one of the two has ended."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                error = task.exception()
                if error is not None and not isinstance(error, StoppedError):
                    raise error
                raise PipelineError(str(error) if error else "the pipeline ended")

    async def _ready(self) -> bool:
        return self.join.ready

    async def _passed(self, ends: dict[TopicPartition, int]) -> bool:
        """Partitions of this worker by its own positions, those of others by what they committed."""
        elsewhere = []
        for (topic, partition), end in ends.items():
            mine = self.join.partitions.get(partition)
            if mine is None:
                elsewhere.append(TopicPartition(topic, partition))
            elif mine.positions.get(topic, -1) < end:
                return False
        if not elsewhere:
            return True
        committed = await self.join.source.committed(self._settings.group, elsewhere)
        return all(place in committed and committed[place].offset >= ends[place] for place in elsewhere)

    async def _until(self, holds: Callable[[], Awaitable[bool]], timeout_s: float, otherwise: str) -> None:
        until, trouble = time.monotonic() + timeout_s, ""
        while True:
            self.check()
            try:
                if await holds():
                    return
            except LogError as error:
                trouble = f" ({error})"
            if time.monotonic() > until:
                raise PipelineError(otherwise + trouble)
            await asyncio.sleep(POLL_S)

    async def _stop(self) -> None:
        self.join.stop()
        self.ledger.stop()
        _, late = await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
