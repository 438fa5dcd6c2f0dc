"""What every route needs: settings, the database, the publisher, the clock. A route names it as `Door`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from milepost.gateway.rates import Rates
from milepost.kafka.async_publishing import AsyncPublisher
from milepost.settings import Settings
from milepost.sql.engine import Engine

__all__ = ["Door", "Doors", "now"]


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Doors:
    """One gateway's means; shared by its requests. `now` gives microseconds since 1970."""

    settings: Settings
    engine: Engine
    publisher: AsyncPublisher
    now: Callable[[], int] = now
    rates: Rates = field(default_factory=Rates)


def _doors(request: Request) -> Doors:
    return cast(Doors, request.app.state.doors)


Door = Annotated[Doors, Depends(_doors)]
