"""Random disputes of the lines that an engagement may raise, named before anybody knows whether it will."""

from typing import TYPE_CHECKING

from milepost.core.contract import Contract
from milepost.core.events import DisputeEvent, Event
from milepost.sim.oracle_disputes import line_id
from tests.properties.features import OCCURRENCES

if TYPE_CHECKING:
    from tests.properties.strategies import Maker


def disputes(maker: "Maker", contract: Contract) -> list[Event]:
    """A few things that were said of two disputes."""
    if "disputes" not in maker.features.groups:
        return []
    events = [_said(maker, contract) for _ in range(maker.rng.choice((1, 2, 4, 6)))]
    if maker.calm:
        events.sort(key=lambda event: event.occurred_at)
    return [*events]


def _said(maker: "Maker", contract: Contract) -> DisputeEvent:
    rng = maker.rng
    milestone = rng.choice(contract.milestones)
    named = (milestone.id, rng.choice(OCCURRENCES[milestone.repeats]) or "", "fee")
    if contract.time_and_materials is not None and maker.chance(40):
        rates = contract.time_and_materials.rates
        rate = rng.choice(sorted(rates))
        named = ("", rng.choice(("2026-02", "2026-03")), f"tm:{rate}:{rates[rate].price}")
    line = line_id(contract.engagement, *named, rng.choice((1, 1, 1, 2)))
    return DisputeEvent(
        **maker.named(
            dispute_id=rng.choice(("d1", "d1", "d2")),
            line_id=line,
            kind=rng.choice(("OPENED", "OPENED", "UPHELD", "UPHELD", "DISMISSED", "WITHDRAWN")),
            occurred_at=maker.moment(),
            amount_minor=rng.choice((None, None, 1, 100, 50_000)),
        )
    )
