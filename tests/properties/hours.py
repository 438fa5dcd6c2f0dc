"""Random time and materials beside the milestones: rates, a limit, and entries that are revised, odd or late."""

from datetime import date, timedelta
from random import Random
from typing import TYPE_CHECKING

from milepost.core.contract import Contract, Rate, TimeAndMaterials
from milepost.core.events import Event, UsageEvent

if TYPE_CHECKING:
    from tests.properties.strategies import Maker

RUNS = (date(2026, 2, 2), date(2026, 4, 1), date(2026, 4, 8), date(2026, 5, 4))  # days on which a tick may come
_DAYS = tuple(date(2026, 2, 26) + timedelta(days=day) for day in (0, 2, 3, 20, 27, 30, 33, 34))


def terms(rng: Random) -> TimeAndMaterials:
    """Two rates, sometimes within a limit."""
    rates = {"senior": Rate(rng.choice(("150.00", "99.99", "120.005"))), "junior": Rate("1.15", "MIN")}
    return TimeAndMaterials(rates, rng.choice((None, None, 50_000, 1)))


def entries(maker: "Maker", contract: Contract) -> list[Event]:
    """Entries of a few days around two ends of a month."""
    if contract.time_and_materials is None:
        return []
    return [_entry(maker) for _ in range(maker.rng.choice((1, 3, 6)))]


def _entry(maker: "Maker") -> Event:
    rng = maker.rng
    started = maker.at(rng.choice(_DAYS), rng.choice((0, 9, 23)))
    quantity = rng.choice(("1", "2.5", "0.333", "-1", None, None))
    return UsageEvent(
        **maker.named(
            usage_id=rng.choice(("u1", "u2", "u3", "u4")),
            meter=rng.choice(("senior", "senior", "junior", "unknown")),
            started_at=started,
            revision=rng.choice((1, 1, 2, 3)),
            quantity=quantity,
            ended_at=started + rng.choice((1, 3_600_000_000, 5_400_000_001)) if quantity is None else None,
            milestone_id="m1" if maker.chance(10) else None,
        )
    )
