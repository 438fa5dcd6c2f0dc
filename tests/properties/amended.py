"""Random amendments: the next versions of a random contract, in all three modes, signed or not, some sent twice."""

from typing import TYPE_CHECKING

import msgspec

from milepost.core.contract import (
    Amendment,
    Cap,
    Completed,
    Contract,
    Fixed,
    KpiGate,
    Milestone,
    MilestoneGate,
    PercentOfValue,
    Policy,
    Retention,
    Step,
    StepDown,
)
from milepost.core.events import EngagementEvent, Event
from milepost.sim.oracle_gates import leaves
from tests.properties import hours

if TYPE_CHECKING:
    from tests.properties.strategies import Maker


def amendments(maker: "Maker", contract: Contract) -> list[Event]:
    """One or two further versions, in turn; one of them may be sent again, as it was or with other terms."""
    if "amendments" not in maker.features.groups:
        return []
    events: list[Event] = []
    for _ in range(maker.rng.choice((1, 1, 2))):
        before, contract = contract, _next(maker, contract)
        events.append(_sent(maker, contract))
        if maker.chance(15):
            contract = contract if maker.chance(50) else _next(maker, before)
            events.append(_sent(maker, contract))
    return events


def _sent(maker: "Maker", contract: Contract) -> Event:
    return EngagementEvent(
        **maker.named(
            change="AMENDED",
            occurred_at=maker.moment(),
            contract=f'{{"milepost": {contract.version}}}',
            terms=contract,
            actor=maker.rng.choice((None, "ana")),
        )
    )


def _next(maker: "Maker", contract: Contract) -> Contract:
    rng = maker.rng
    changes: dict[str, object] = {}
    milestones = [_changed(maker, milestone) for milestone in contract.milestones]
    needed = {
        g.milestone for m in milestones for g in leaves(m.requires + m.depends_on) if isinstance(g, MilestoneGate)
    }
    if len(milestones) > 1 and maker.chance(20):
        dropped = rng.choice(milestones)
        milestones = [m for m in milestones if m is not dropped or m.id in needed]
    if maker.chance(40):
        fee = rng.choice((Fixed(50_001), PercentOfValue("10")))
        approval = rng.choice((None, None, *sorted(contract.policies)))
        milestones.append(Milestone(f"n{contract.version}", "New", fee, (Completed(),), approval))
    if maker.chance(30):
        changes["value_minor"] = rng.choice((20_000, 1_999_999))
    if maker.chance(40):
        changes["retention"] = _retention(maker, contract.retention)
    if maker.chance(20):
        changes["policies"] = {name: _policy(maker, policy) for name, policy in contract.policies.items()}
    if maker.chance(15):
        changes["people"] = maker.people()
    if contract.time_and_materials is not None and maker.chance(30):
        changes["time_and_materials"] = hours.terms(rng)
    if maker.chance(10):
        changes["amendments_approval"] = rng.choice((None, *sorted(contract.policies)))
    return msgspec.structs.replace(
        contract,
        version=contract.version + 1,
        amendment=Amendment(rng.choice(("prospective", "catch_up", "separate")), maker.features.day()),
        milestones=tuple(milestones),
        **changes,
    )


def _retention(maker: "Maker", before: Retention | None) -> Retention | None:
    """Another rate, cap or step; now and then none any more, or one where there was none."""
    rng = maker.rng
    if before is None or maker.chance(10):
        return Retention(rate="5") if before is None else None
    changes: dict[str, object] = {"rate": rng.choice(("2.5", "8", "0", "10"))}
    if maker.chance(20):
        changes["cap"] = rng.choice((None, Cap(amount_minor=3_000), Cap(percent_of_value="0.5", basis="revised")))
    if maker.chance(10):
        changes["step_down"] = (StepDown("20", "1"),)
    return msgspec.structs.replace(before, **changes)


def _policy(maker: "Maker", policy: Policy) -> Policy:
    """Another quorum, order or role; with deadlines, others."""
    rng, step = maker.rng, policy.steps[0]
    step = msgspec.structs.replace(step, quorum=rng.choice((1, 1, 2)), role=rng.choice((step.role, "lead", "ap")))
    others = policy.steps[1:] if maker.chance(70) else ()
    roles = {other.role for other in others}
    steps = (step, *others) if step.role not in roles else others
    if not roles and maker.chance(20):
        steps = (step, Step("cfo")) if step.role != "cfo" else (step,)
    made = msgspec.structs.replace(policy, steps=steps, sequential=maker.chance(30))
    return maker.features.policy(made, ("lead", "ap", "cfo")) if maker.chance(50) else made


def _changed(maker: "Maker", milestone: Milestone) -> Milestone:
    """Another fee, another approval, another gate, or the same again."""
    rng = maker.rng
    changes: dict[str, object] = {}
    if isinstance(milestone.fee, Fixed) and maker.chance(40):
        changes["fee"] = Fixed(rng.choice((1, 50_000, 200_001)))
    elif isinstance(milestone.fee, PercentOfValue) and maker.chance(40):
        changes["fee"] = PercentOfValue(rng.choice(("20", "30")))
    if maker.chance(20):
        changes["approval"] = rng.choice((None, "single", "dual"))
    if maker.chance(8):
        changes["depends_on"] = rng.choice(((), (KpiGate(id="reading", at_least="0.85"),)))
    if milestone.repeats == "none" and isinstance(milestone.fee, Fixed | PercentOfValue) and maker.chance(8):
        changes["tiers"], changes["partial_any"] = rng.choice(((("60", "90", "100"), False), (("100",), True)))
    if maker.chance(8):
        changes["criteria"] = rng.choice((None, "It works better."))
    if maker.chance(5):
        changes["retained"] = not milestone.retained
    return msgspec.structs.replace(milestone, **changes)
