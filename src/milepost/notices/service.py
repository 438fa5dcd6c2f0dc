"""An instance of notices: reads the topics and works off what is owed, until it is asked to stop.

Reading and delivering share nothing but the database. Whatever stands in reading's way (brokers, topics, the database,
Faust itself) has one answer: leave the group, wait, join it again and go on at the committed offsets; what was stored
meanwhile is stored, and storing it again adds nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import faust

from milepost.kafka.clients import KafkaLog
from milepost.kafka.log import LogError
from milepost.kafka.looking import LOOK_S, unanswered
from milepost.notices.deliveries import Deliveries
from milepost.notices.messages import TOPICS
from milepost.notices.reading import application, leave
from milepost.notices.storing import Storing
from milepost.observe import health, logs, metrics
from milepost.observe.hosting import StoppedError
from milepost.settings import Settings
from milepost.sql.engine import DatabaseError, Engine, UnavailableError
from milepost.sql.migrations import migrate

__all__ = ["Notices"]

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0

_log = logs.logger(__name__)


class Notices:
    """One instance; several share the group and the database.

    `run()` returns after `stop()` and waits, saying for what, while the broker, a topic or the database is away. It
    raises `StoppedError` when waiting cannot help: a record that cannot be read, a database of a newer release.
    """

    def __init__(self, settings: Settings, engine: Engine, deliveries: Deliveries, now: Callable[[], int]) -> None:
        self._settings, self._engine, self._deliveries = settings, engine, deliveries
        self._storing = Storing(settings, engine, now)
        self._stopping = asyncio.Event()
        self._pause_s = _FIRST_PAUSE_S
        self._waiting: str | None = "has not begun"
        self._unanswered: str | None = None  # Faust does not say that brokers are away

    def stop(self) -> None:
        """Leave the group, end what is under way and return from `run()`."""
        self._stopping.set()
        self._deliveries.stop()

    async def run(self) -> None:
        """Migrate, then read and deliver until `stop()`; see the class for what it raises."""
        for topic in TOPICS:
            metrics.NOTICE_RECORDS.labels(topic)
        health.watch("notices", self.waits_for)
        try:
            await self._until_migrated()
            tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._deliveries.run())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            self.stop()
            await asyncio.wait(tasks)
            for task in tasks:
                task.result()
        except DatabaseError as error:
            raise StoppedError(str(error)) from error
        finally:
            health.forget("notices")
            self._engine.dispose()

    def waits_for(self) -> str | None:
        """What keeps this instance from its work, in a sentence; None: it is ready."""
        return self._waiting or self._unanswered or self._deliveries.waits_for

    async def _until_migrated(self) -> None:
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(migrate, self._engine)
                return
            except UnavailableError as error:
                await self._wait("waiting for the database", found=str(error))

    async def _read(self) -> None:
        while not self._stopping.is_set():
            kafka = KafkaLog(self._settings)
            try:
                if await self._connect(kafka):
                    await self._belong(kafka)
            finally:
                await kafka.stop()

    async def _connect(self, kafka: KafkaLog) -> bool:
        """Whether brokers answer and have the topics; False after a pause."""
        try:
            await kafka.start()
            counts = await kafka.partition_counts(TOPICS)
        except LogError as error:
            await self._wait("waiting for Kafka", found=str(error))
            return False
        if missing := [self._settings.topic(topic) for topic in TOPICS if not counts[topic]]:
            await self._wait("waiting for topics", topics=missing, help="`milepost topics apply` creates them")
            return False
        return True

    async def _belong(self, kafka: KafkaLog) -> None:
        """Be a member of the group until `stop()`, or until something stands in the way."""
        troubles, troubled = list[Exception](), asyncio.Event()

        def note(error: Exception) -> None:
            troubles.append(error)
            troubled.set()

        app = application(self._settings, kafka.embedded, self._store, self._deliveries.poke, note)
        waits = [self._membership(app), self._stopping.wait(), troubled.wait(), self._look(kafka)]
        tasks = [asyncio.create_task(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not await leave(app):
                _log.warning("left the group without saying so")
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        if troubles:
            await self._answer(troubles[0])
        elif not self._stopping.is_set():
            await self._wait("left the group", found=repr(app.crash_reason or ended[0]))

    async def _membership(self, app: faust.App) -> None:
        """From joining the group to leaving it; ends early where Faust gives up."""
        await app.start()
        self._waiting = None
        await app.wait_until_stopped()

    async def _look(self, kafka: KafkaLog) -> None:
        while True:
            self._unanswered = await unanswered(kafka.partition_counts(TOPICS))
            await asyncio.sleep(LOOK_S)

    def _store(self, records: Any) -> int:
        owed = self._storing.store(records)
        self._pause_s = _FIRST_PAUSE_S
        return owed

    async def _answer(self, error: Exception) -> None:
        """Wait where waiting helps; else raise."""
        if not isinstance(error, UnavailableError):
            raise error
        await self._wait("waiting for the database", found=str(error))

    async def _wait(self, why: str, **fields: Any) -> None:
        self._waiting = f"{why}: {', '.join(map(str, fields.values()))}"
        _log.warning(why, again_in_s=self._pause_s, **fields)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
