"""Parts of a contract in words: gates, moments, durations, shares of a gain, the steps of a policy."""

from collections.abc import Callable

from milepost.core.contract import (
    AllOf,
    AnyOf,
    Completed,
    DateGate,
    Duration,
    EarlierOf,
    EvidenceGate,
    Gate,
    KpiGate,
    LaterOf,
    MilestoneGate,
    Moment,
    OnDate,
    OnSignoff,
    RegulatorGate,
    Step,
    Success,
)

__all__ = ["duration", "gate", "moment", "percentages", "policy_step"]


def duration(length: Duration) -> str:
    """As it was written: "P10D", "5 business days"."""
    return length.text


def gate(condition: Gate) -> str:
    """When the gate holds."""
    match condition:
        case Completed():
            return "completed"
        case EvidenceGate(names=names):
            return f"evidence {', '.join(names)}"
        case DateGate(on=on):
            return f"from {on}"
        case MilestoneGate(milestone=name, at_least=share):
            return f"{name} accepted" if share == "100" else f"{name} accepted to {share} %"
        case RegulatorGate(by=by, filing=filing, at_least=rung):
            return f"{' and '.join(by)}: {filing or 'the filing'} {rung}"
        case AnyOf(gates=gates):
            return f"({' or '.join(map(gate, gates))})"
        case AllOf(gates=gates):
            return f"({' and '.join(map(gate, gates))})"
        case KpiGate():
            return _kpi(condition)


def _kpi(condition: KpiGate) -> str:
    signs = ((condition.at_least, ">="), (condition.above, ">"), (condition.at_most, "<="), (condition.below, "<"))
    bounds = " and ".join(f"{sign} {bound}" for bound, sign in signs if bound is not None)
    since, until = condition.period_from, condition.period_to
    parts = [
        f"kpi {condition.id} {bounds or 'has a value'}",
        f"in {condition.unit}" if condition.unit else "",
        condition.status if condition.status != "any" else "",
        f"from {' or '.join(condition.sources)}" if condition.sources else "",
        f"for {since or ''}..{until or ''}" if since or until else "",
    ]
    return ", ".join(part for part in parts if part)


def moment(when: Moment) -> str:
    """When retention is paid out."""
    match when:
        case OnSignoff(after=None):
            return "at the sign-off"
        case OnSignoff(after=after):
            return f"{after.text if after else ''} after the sign-off"
        case OnDate(on=on):
            return f"on {on}"
        case LaterOf(moments=moments):
            return f"({' or '.join(map(moment, moments))}, whichever is later)"
        case EarlierOf(moments=moments):
            return f"({' or '.join(map(moment, moments))}, whichever is earlier)"


def percentages(fee: Success) -> str:
    """Which part of a gain is paid: "10 % up to 100000, 20 % above"."""
    if len(fee.tiers) == 1 and fee.tiers[0].up_to is None:
        return f"{fee.tiers[0].rate} %"
    parts = [f"{tier.rate} % {'above' if tier.up_to is None else f'up to {tier.up_to}'}" for tier in fee.tiers]
    return f"{', '.join(parts)} ({'each of its part' if fee.marginal else 'of all of it'})"


def policy_step(step: Step, money: Callable[[int], str]) -> str:
    """Who signs, what they attach, by when, and what silence means; `money` shows an amount in minor units."""
    silence = [
        f"then {one.role} too" + (f" within {one.within.text}" if one.within else "") for one in step.escalations
    ]
    if step.on_timeout is not None:
        grace = f" {step.grace.text} later" if step.grace and step.on_timeout == "accept" else ""
        silence.append({"accept": "then accepted", "reject": "then rejected"}[step.on_timeout] + grace)
    more = [
        f"from {money(step.amount_at_least_minor)}" if step.amount_at_least_minor is not None else "",
        f"with {', '.join(step.evidence)}" if step.evidence else "",
        f"within {step.within.text}" if step.within else "",
        f"reminded every {step.remind_every.text}" if step.remind_every else "",
        *silence,
    ]
    details = ", ".join(part for part in more if part)
    return f"{step.quorum} of {step.role}" + (f" ({details})" if details else "")
