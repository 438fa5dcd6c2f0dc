"""Where a milestone stands and what it still misses, said whenever it changes."""

from decimal import Decimal
from hashlib import blake2b

import msgspec

from milepost.core import gates as gating
from milepost.core import lifecycle, money
from milepost.core.billing import entitled, taken
from milepost.core.calendar import END_OF_TIME, until_text
from milepost.core.claims import Assessment, Submission, percent_text, reached
from milepost.core.clawing import clawed
from milepost.core.contract import (
    AllOf,
    AnyOf,
    Completed,
    DateGate,
    EvidenceGate,
    Gate,
    KpiGate,
    Milestone,
    MilestoneGate,
    RateCard,
    RegulatorGate,
    Success,
)
from milepost.core.engagement import Engagement
from milepost.core.entitlement import WAITING
from milepost.core.facts import KpiValue, Occurrence, Place, Report
from milepost.core.gates import carries, leaves
from milepost.core.invariants import LifecycleError
from milepost.core.outputs import MilestoneStatus, Missing
from milepost.core.rules import fees, regulators, spans

__all__ = ["flag", "outstanding", "say", "state", "unsigned"]

_encode = msgspec.msgpack.Encoder().encode
_LATEST = (1 << 62) - 1  # "now": after every fact


def flag(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> None:
    """Note in the audit trail that a gate of what is accepted holds no longer; the money stands (rule 11)."""
    flags: list[str] = []
    if found.level > 0:
        definition = engagement.definition(place, found.accepted_at)
        report = _reported(engagement, part)
        took = [fired.value for fired in clawed(engagement, place, part, found)]
        for gate in definition.requires + definition.depends_on:
            flags.extend(_fallen(engagement, place, gate, report, found.level, took))
    for reason in sorted(set(flags) - set(part.flags)):
        engagement.audit("FLAGGED", reason)
    part.flags = sorted(set(flags))


def _fallen(
    engagement: Engagement, place: Place, gate: Gate, report: Report | None, level: Decimal, took: list[KpiValue]
) -> list[str]:
    """The flags of a gate that held when it was accepted; of alternatives only if none holds any more.

    `took`: the values that clawed back: where one of them is in force, the money did not stand.
    """
    now = min(_LATEST, engagement.until)
    if isinstance(gate, AllOf):
        return [reason for inner in gate.gates for reason in _fallen(engagement, place, inner, report, level, took)]
    if isinstance(gate, AnyOf):
        either = gating.resolve((gate,), lambda inner: engagement.gate_spans(inner, place))
        if gating.true_at(either, now, report, level):
            return []
        held = [inner for inner in leaves(gate.gates) if engagement.gate_spans(inner, place)]
        return [reason for inner in held for reason in _fallen(engagement, place, inner, report, level, took)]
    if isinstance(gate, Completed):
        return []  # what reports lower is billed, it does not only flag
    if isinstance(gate, EvidenceGate):
        # one that claims more, and lacks what was shown before, says nothing about what was accepted
        return ["GATE_RESTATED"] if report and report.kind == "CORRECTED" and not carries(report, gate) else []
    if spans.holds(engagement.gate_spans(gate, place), now):
        return []
    if isinstance(gate, KpiGate) and took:
        forces = engagement.forces(gate, place)
        if forces and forces[-1].value in took:
            return []
    return ["GATE_RESTATED" if isinstance(gate, KpiGate | RegulatorGate) else "DEPENDENCY_REVERSED"]


def state(engagement: Engagement, place: Place, part: Occurrence, found: Assessment, parked: list[str]) -> None:
    """State where the occurrence stands, if that changed."""
    terms, report, ended = engagement.agreed, _reported(engagement, part), _ended(engagement, place)
    accepted = entitled(engagement, place, found)
    held_back = accepted != part.billed_minor
    now = lifecycle.derive(found, part.billed_minor != 0, held_back, ended)
    if now != part.state and (part.state, now) not in lifecycle.TRANSITIONS:
        raise LifecycleError(f"{engagement.name}: milestone {place.milestone} cannot go from {part.state} to {now}")
    part.state = now
    last = found.submissions[-1] if found.submissions else None
    waits = [part.decisions[place].cause for place, outcome in found.outcomes.items() if outcome == WAITING]
    early = [f"SUBMISSION_WAITING {cause}" for cause in waits]
    status = MilestoneStatus(
        engagement_id=engagement.name,
        milestone_id=place.milestone,
        occurrence_id=place.occurrence,
        state=now,
        completion=report.completion if report else "0",
        billed_completion=part.billed_completion if part.billed_minor or found.gross == 0 else "0",
        missing=() if now == "CANCELLED" else outstanding(engagement, place, part, found),
        parked=tuple(early + parked),
        at_stake_minor=(max(0, found.whole - part.clawed_minor - taken(engagement, part)) if not ended else accepted)
        - part.billed_minor,
        currency=terms.contract.currency,
        currency_exponent=terms.contract.currency_exponent,
        submission=last.number if last else 0,
        planned_on=terms.milestones[place.milestone].planned_on,
        reported_at=report.at if report else None,
        submitted_at=last.opened_at if last else None,
        accepted_at=found.accepted_at if found.level > 0 else None,
        billed_at=part.billed_at if part.billed_minor else None,
        disputed_minor=part.disputed_minor,
    )
    part.status_digest = say(engagement, status, part.status_digest)


def _reported(engagement: Engagement, part: Occurrence) -> Report | None:
    """The last report of an occurrence; what is dated after the termination says nothing."""
    return next((report for report in reversed(part.reports) if report.at <= engagement.until), None)


def _ended(engagement: Engagement, place: Place) -> bool:
    """Whether nothing more of the milestone is accepted: terminated, or dropped by an amendment."""
    return engagement.account.terminated_at is not None or engagement.dropped(place)


def say(engagement: Engagement, status: MilestoneStatus, before: bytes) -> bytes:
    """State it unless it was said last: its digest."""
    digest = blake2b(_encode(status), digest_size=8).digest()
    if digest != before:
        engagement.outputs.append(status)
    return digest


def outstanding(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> tuple[Missing, ...]:
    """What keeps the occurrence from billing (further): gates, signatures, dependencies, a suspension."""
    definition = engagement.definition(place)
    missing: list[Missing] = []
    report, ended = _reported(engagement, part), _ended(engagement, place)
    if found.unpriced and not ended:
        missing.extend(_unpriced(engagement, definition, report))
    last = found.submissions[-1] if found.submissions else None
    # where all is accepted, a submission is for other facts that give a higher amount
    wanting = found.level < 100 or (last is not None and (last.alive or last.end in ("REJECTED", "TIMED_OUT")))
    if wanting and not ended:
        for gate in definition.requires if found.level < 100 else ():
            missing.extend(_missing(engagement, place, gate, report, found))
        missing.extend(unsigned(engagement, found, _opener(definition)))
        for gate in definition.depends_on:
            missing.extend(_missing(engagement, place, gate, report, found))
    if engagement.account.suspended and entitled(engagement, place, found) != part.billed_minor:
        missing.append(Missing(gate="suspended", detail="the engagement is suspended", since=None))
    return tuple(missing)


def _opener(definition: Milestone) -> str:
    """What claims again after a rejection."""
    looked_at = list(leaves(definition.requires))
    asks = any(isinstance(gate, Completed | EvidenceGate) for gate in looked_at)
    return "value" if not asks and any(isinstance(gate, KpiGate) for gate in looked_at) else "report"


def _unpriced(engagement: Engagement, definition: Milestone, report: Report | None) -> list[Missing]:
    """What there is no amount without: a payer's rate, or a value that counts."""
    since = report.at if report else None
    fee = definition.fee
    if isinstance(fee, RateCard):
        given = dict(fees.pricing_content(report.attributes if report else {}))
        named = ", ".join(f"{name} {text}" for name, text in given.items()) or "a report that names no payer"
        return [Missing(gate="rate", detail=f"rate card {fee.card} has no rate for {named}", since=since)]
    if isinstance(fee, Success) and all(
        not isinstance(gate, KpiGate) or gate.id != fee.kpi for gate in leaves(definition.requires)
    ):
        detail = f"no value of {fee.kpi} that the fee can be computed from"
        return [Missing(gate=f"kpi:{fee.kpi}", detail=detail, since=since)]
    return []


def unsigned(engagement: Engagement, found: Assessment, claimed_by: str = "report") -> list[Missing]:
    """The signatures that the submission still needs and until when, or that it was rejected or timed out."""
    current, last = found.current, found.submissions[-1] if found.submissions else None
    if current is not None:
        return [_unsigned_step(engagement, current, step) for step in current.ballot.open_steps()]
    if last is not None and last.end in ("REJECTED", "TIMED_OUT"):
        how = "was rejected" if last.end == "REJECTED" else "timed out"
        detail = f"submission {last.number} {how}; the next {claimed_by} opens the next one"
        return [Missing(gate="approval", detail=detail, since=last.ended_at)]
    return []


def _unsigned_step(engagement: Engagement, submission: Submission, step: int) -> Missing:
    ballot = submission.ballot
    terms, roles, deadline = ballot.steps()[step], ballot.roles(step), ballot.deadline(step)
    signed = sum(1 for _, signed_as in ballot.signatures if signed_as in roles)
    detail = f"{' or '.join(roles)} has not signed submission {submission.number}"
    if terms.quorum > 1:
        detail += f", {signed} of {terms.quorum} have"
    if deadline is not None and engagement.account.suspended:
        detail += ", the deadline stands still"
    elif deadline is not None and deadline < END_OF_TIME:
        detail += f", until {until_text(deadline, engagement.agreed.zone)}"
    lacking = {person for person, role in ballot.unproved if role in roles}
    if lacking and terms.evidence:
        detail += f"; what {', '.join(sorted(lacking))} sent lacks {', '.join(terms.evidence)}"
    since = ballot.opening(step)
    return Missing(gate=f"approval:{terms.role}", detail=detail, since=submission.opened_at if since is None else since)


def _missing(
    engagement: Engagement, place: Place, gate: Gate, report: Report | None, found: Assessment
) -> list[Missing]:
    definition = engagement.definition(place)
    if isinstance(gate, Completed):
        completion = money.percent(report.completion) if report else money.percent("0")
        if reached(definition, completion) > found.level:
            if found.unpriced:
                return []
            last = found.submissions[-1] if found.submissions else None
            if last is None or last.accepted_at is None or last.level <= found.level:
                return []  # what is reported is, or was, a claim of its own
            detail = f"{percent_text(found.level)} % was certified; the next report claims the rest"
            return [Missing(gate="completed", detail=detail, since=found.accepted_at)]
        above = (f"{tier} %" for tier in definition.tiers if money.percent(tier) > found.level)
        needed = "more" if definition.partial_any else next(above, "100 %")
        detail = f"reported {percent_text(completion)} %, the next that can bill is {needed}"
        return [Missing(gate="completed", detail=detail, since=report.at if report else None)]
    if isinstance(gate, EvidenceGate):
        if carries(report, gate):
            return []
        names = sorted(set(gate.names) - {e.name for e in report.evidence} if report else gate.names)
        detail = f"the report in force carries no {', '.join(names)}"
        return [Missing(gate=f"evidence:{','.join(names)}", detail=detail, since=report.at if report else None)]
    if isinstance(gate, AllOf | AnyOf):
        parts = [_missing(engagement, place, inner, report, found) for inner in gate.gates]
        if isinstance(gate, AnyOf):
            return _alternatives(parts) if all(parts) else []
        return [missing for some in parts for missing in some]
    held = engagement.gate_spans(gate, place)
    if spans.holds(held, min(_LATEST, engagement.until)):
        return []
    since = spans.ended(held)
    if isinstance(gate, KpiGate):
        return [Missing(gate=f"kpi:{gate.id}", detail=_kpi_detail(engagement, gate, place), since=since)]
    if isinstance(gate, DateGate):
        return [Missing(gate=f"date:{gate.on}", detail=f"{gate.on} has not come, or no tick since", since=since)]
    if isinstance(gate, RegulatorGate):
        return _undecided(engagement, place, gate, since)
    assert isinstance(gate, MilestoneGate)
    accepted = engagement.occurrence(engagement.needed(gate, place)).accepted
    detail = f"{gate.milestone} is accepted to {accepted[-1][1] if accepted else '0'} %, {gate.at_least} % is needed"
    return [Missing(gate=f"milestone:{gate.milestone}", detail=detail, since=since)]


def _alternatives(parts: list[list[Missing]]) -> list[Missing]:
    """One entry for all ways, of which one is enough; `gate` names all of them, separated by bars."""
    detail = ", or ".join(" and ".join(missing.detail for missing in some) for some in parts)
    names = "|".join(missing.gate for some in parts for missing in some)
    return [Missing(gate=names, detail=f"one of: {detail}", since=None)]


def _undecided(engagement: Engagement, place: Place, gate: RegulatorGate, since: int | None) -> list[Missing]:
    """What each regulator that the gate waits for has said so far."""
    filing = gate.filing if gate.filing is not None else place.occurrence
    missing = []
    for regulator, in_force in engagement.rulings(gate, place).items():
        if spans.holds(regulators.spans(in_force, gate.at_least), min(_LATEST, engagement.until)):
            continue
        decision = in_force[-1].decision if in_force else None
        if decision is not None and regulators.ladder(decision.decision, gate.at_least):
            said = f"{decision.decision} without a confirmation id"
        else:
            said = decision.decision if decision else ("no decision in force" if in_force else "no decision yet")
        detail = f"{regulator} on {filing}: {said}, {gate.at_least} is needed"
        missing.append(Missing(gate=f"regulator:{regulator}", detail=detail, since=since))
    return missing


def _kpi_detail(engagement: Engagement, gate: KpiGate, place: Place) -> str:
    forces = engagement.forces(gate, place)
    words = {"at_least": "at least", "above": "above", "at_most": "at most", "below": "below"}
    bounds = [f"{word} {getattr(gate, name)}" for name, word in words.items() if getattr(gate, name) is not None]
    needed = " and ".join(bounds) or "a value"
    if not forces:
        return f"no admitted value of {gate.id} yet, {needed} is needed"
    value = forces[-1].value
    if value is None:
        return f"sources disagree on {gate.id}, {needed} is needed"
    return f"{gate.id} is {value.value}, {needed} is needed"
