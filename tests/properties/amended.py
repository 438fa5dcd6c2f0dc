"""Random amendments: the next versions of a random contract, in all three modes, signed or not."""

from typing import TYPE_CHECKING

import msgspec

from milepost.core.contract import Amendment, Completed, Contract, Fixed, Milestone, PercentOfValue
from milepost.core.events import EngagementEvent, Event

if TYPE_CHECKING:
    from tests.properties.strategies import Maker


def amendments(maker: "Maker", contract: Contract) -> list[Event]:
    """One or two further versions, in turn."""
    if "amendments" not in maker.features.groups:
        return []
    events: list[Event] = []
    for _ in range(maker.rng.choice((1, 1, 2))):
        contract = _next(maker, contract)
        events.append(
            EngagementEvent(
                **maker.named(
                    change="AMENDED",
                    occurred_at=maker.moment(),
                    contract=f'{{"milepost": {contract.version}}}',
                    terms=contract,
                    actor=maker.rng.choice((None, "ana")),
                )
            )
        )
    return events


def _next(maker: "Maker", contract: Contract) -> Contract:
    rng = maker.rng
    changes: dict[str, object] = {}
    milestones = [_changed(maker, milestone) for milestone in contract.milestones]
    if maker.chance(40):
        fee = rng.choice((Fixed(50_001), PercentOfValue("10")))
        milestones.append(Milestone(f"n{contract.version}", "New", fee, (Completed(),), None))
    if maker.chance(30):
        changes["value_minor"] = rng.choice((20_000, 1_999_999))
    if contract.retention is not None and maker.chance(40):
        changes["retention"] = msgspec.structs.replace(contract.retention, rate=rng.choice(("2.5", "8", "0")))
    return msgspec.structs.replace(
        contract,
        version=contract.version + 1,
        amendment=Amendment(rng.choice(("prospective", "catch_up", "separate")), maker.features.day()),
        milestones=tuple(milestones),
        **changes,
    )


def _changed(maker: "Maker", milestone: Milestone) -> Milestone:
    """Another fee, another approval, or the same again."""
    rng = maker.rng
    if isinstance(milestone.fee, Fixed) and maker.chance(40):
        milestone = msgspec.structs.replace(milestone, fee=Fixed(rng.choice((1, 50_000, 200_001))))
    elif isinstance(milestone.fee, PercentOfValue) and maker.chance(40):
        milestone = msgspec.structs.replace(milestone, fee=PercentOfValue(rng.choice(("20", "30"))))
    if maker.chance(20):
        milestone = msgspec.structs.replace(milestone, approval=rng.choice((None, "single", "dual")))
    return milestone
