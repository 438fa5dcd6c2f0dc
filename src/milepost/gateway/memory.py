"""What has come before, for all requests of a process: those that ask at the same time share one SQL transaction.

A database that can take a few hundred transactions a second is asked as seldom as it answers: while one transaction
runs, what comes gathers for the next one. An idle gateway asks at once.
"""

import asyncio
from collections.abc import Collection, Sequence

from milepost.sql.engine import Engine
from milepost.sql.remembering import Arrival, Ids, Known, Told, keep

__all__ = ["Memory"]

# Ids in one transaction, which other instances wait for; a request with more of them has one to itself.
MOST_IDS = 5_000


class _Group:
    """What is told in one transaction, and its answers, one for each that told something."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.ids = 0
        self.answers: asyncio.Task[list[Known]]

    def add(self, told: Told) -> int:
        """The place of what is told."""
        self.told.append(told)
        self.ids += len(told.arrivals)
        return len(self.told) - 1


class Memory:
    """Ids of events and messages, in the database. For one event loop. Every method raises `UnavailableError`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._gathering: _Group | None = None
        self._last: asyncio.Task[list[Known]] | None = None

    async def remember(self, request_id: int, arrivals: Sequence[Arrival], at: int) -> Known:
        """Keep the ids that are new, first seen `at` (microseconds), and answer what is known of every one of them.

        Of one id, the first stays: `known[scope, id].body_sha256` says what came with it. If that is not for each what
        came now, nothing of the request is kept.
        """
        return await self._tell(Told(request_id, at, arrivals)) if arrivals else {}

    async def acknowledge(self, request_id: int, others: Collection[Ids], at: int) -> None:
        """Note that Kafka has what a request brought first, and what other ids stand for."""
        await self._tell(Told(request_id, at, acknowledged=True, others=others))

    async def _tell(self, told: Told) -> Known:
        group = self._gathering
        if group is None or group.ids + len(told.arrivals) > MOST_IDS:
            group = self._gathering = _Group()
            self._last = group.answers = asyncio.create_task(self._keep(group, self._last))
        place = group.add(told)
        # Whoever goes away while waiting takes nothing from the others.
        return (await asyncio.shield(group.answers))[place]

    async def _keep(self, group: _Group, before: "asyncio.Task[list[Known]] | None") -> list[Known]:
        if before is not None:
            await asyncio.wait({before})
        if self._gathering is group:
            self._gathering = None
        return await asyncio.to_thread(keep, self._engine, group.told)
