"""What every route needs: settings, the database, the publisher, the clock. A route names it as `Door`."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, cast

from fastapi import Depends, Request

from milepost.gateway.memory import Memory
from milepost.gateway.rates import Rates
from milepost.kafka.async_publishing import AsyncPublisher, PublishError
from milepost.kafka.ticking import Ticks, TicksError
from milepost.settings import Settings
from milepost.sql.engine import Engine
from milepost.sql.links import LinkKeys, Links
from milepost.store.evidence.opening import open_receiver, open_store
from milepost.store.evidence.port import EvidenceStore
from milepost.store.evidence.receiving import Receiver

__all__ = ["Door", "Doors", "now"]


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Doors:
    """One gateway's means; shared by its requests. `now` gives this machine's time, microseconds since 1970."""

    settings: Settings
    engine: Engine
    publisher: AsyncPublisher
    now: Callable[[], int] = now
    rates: Rates = field(default_factory=Rates)
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @cached_property
    def memory(self) -> Memory:
        """What has come before."""
        return Memory(self.engine)

    @cached_property
    def ticks(self) -> Ticks | None:
        """What says how far a sandbox's time was advanced; elsewhere nothing does."""
        return Ticks(self.settings) if self.settings.sandbox else None

    async def time(self) -> int:
        """What time it is for engagements, microseconds: in a sandbox the one that it was advanced to.

        By `now` go keys, signatures and what is kept how long. Raises `PublishError` when the brokers do not answer.
        """
        if self.ticks is None:
            return self.now()
        async with self._asking:
            try:
                stand = await asyncio.to_thread(self.ticks.stand)
            except TicksError as error:
                raise PublishError(str(error)) from error
        return stand.sandbox_time(self.now())

    @cached_property
    def evidence(self) -> EvidenceStore:
        """Where uploaded files are. Raises `StoreError` for settings that name none."""
        return open_store(self.settings)

    @cached_property
    def receiver(self) -> Receiver:
        """What takes uploads for it. Raises `StoreError`."""
        return open_receiver(self.settings, self.evidence)

    @property
    def signs_links(self) -> bool:
        """Whether there is a secret to sign approval links with."""
        return bool(self.settings.link_secret.get_secret_value())

    @cached_property
    def links(self) -> Links:
        """The links by which people decide. Raises `LinkSecretError` where none can be signed."""
        return Links(self.engine, LinkKeys.of(self.settings), self.settings.link_lifetime_days)


def _doors(request: Request) -> Doors:
    return cast(Doors, request.app.state.doors)


Door = Annotated[Doors, Depends(_doors)]
