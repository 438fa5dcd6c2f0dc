"""Which gates held at an instant, with what each looked at and since when; and since when what is missing is so.

Asked of the state that a fold of the events leaves: the same spans, values and decisions that decide.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from milepost.audit.wording import gate_text, instant
from milepost.core import money
from milepost.core.calendar import instant_text
from milepost.core.claims import Assessment
from milepost.core.contract import (
    AllOf,
    AnyOf,
    Completed,
    DateGate,
    EvidenceGate,
    Gate,
    KpiGate,
    MilestoneGate,
    RegulatorGate,
)
from milepost.core.engagement import Engagement
from milepost.core.facts import FilingDecision, KpiValue, Place, Report
from milepost.core.gates import carries, leaves
from milepost.core.rules import regulators
from milepost.core.rules.spans import Span
from milepost.core.terms import gates

__all__ = ["Looking", "gate_at", "gates_at", "missing_since", "value_text"]


class Looking(NamedTuple):
    """At what, and when, a line's gates are looked at again."""

    engagement: Engagement
    place: Place
    at: int
    report: Report | None  # that the claim rests on
    level: Decimal  # the percentage claimed
    just_before: bool = False  # silence accepts by what was in force until the deadline: that will do, too


def gates_at(look: Looking) -> list[str]:
    """Every gate of the occurrence as agreed at the instant: its value, report, decision or dependency, since when."""
    definition = look.engagement.definition(look.place, look.at)
    return [said for gate in gates(definition) for said in _gate(look, gate, "")]


def gate_at(look: Looking, gate: KpiGate) -> str:
    """A gate on a value that is none of the milestone's own: a clawback's."""
    return _said(look, gate_text(gate), _looked_at(look, gate), look.engagement.gate_spans(gate, look.place))


def _gate(look: Looking, gate: Gate, before: str) -> Iterator[str]:
    if isinstance(gate, AnyOf | AllOf):
        word = "any of: " if isinstance(gate, AnyOf) else "together: "
        for inner in gate.gates:
            yield from _gate(look, inner, before + word)
        return
    occurrence = look.place.occurrence
    if isinstance(gate, Completed | EvidenceGate):
        yield f"{before}{gate_text(gate)}: {_reported(gate, look.report, look.level)}"
    elif isinstance(gate, RegulatorGate):
        for regulator, rulings in look.engagement.rulings(gate, look.place).items():
            alone = gate_text(RegulatorGate((regulator,), gate.filing, gate.at_least), occurrence)
            decision = next((ruling.decision for ruling in reversed(rulings) if ruling.since <= look.at), None)
            yield _said(look, before + alone, _decided(decision), regulators.spans(rulings, gate.at_least))
    else:
        held = look.engagement.gate_spans(gate, look.place)
        yield _said(look, before + gate_text(gate, occurrence), _looked_at(look, gate), held)


def _said(look: Looking, asked: str, what: str, spans: Sequence[Span]) -> str:
    since = _since(spans, look.at)
    if since is None and look.just_before:
        since = _since(spans, look.at - 1)
    return f"{asked}: {what}, does not hold" if since is None else f"{asked}: {what}, since {instant(since)}"


def _since(spans: Sequence[Span], at: int) -> int | None:
    """Since when it has held without a gap."""
    for i, (since, until) in enumerate(spans):
        if since <= at < until:
            while i and spans[i - 1][1] == since:
                i, since = i - 1, spans[i - 1][0]
            return since
    return None


def _reported(gate: Completed | EvidenceGate, report: Report | None, level: Decimal) -> str:
    if report is None:
        return "no report, does not hold"
    if isinstance(gate, EvidenceGate):
        what, holds = f"report {report.cause}", carries(report, gate)
        return f"carried by {what}, since {instant(report.at)}" if holds else f"not carried by {what}, does not hold"
    if report.kind == "WITHDRAWN":
        return f"withdrawn ({report.cause}), does not hold"
    by = f" by {report.reported_by}" if report.reported_by is not None else ""
    what = f"{report.completion} % {report.kind.lower()}{by} ({report.cause})"
    reaches = money.percent(report.completion) >= level > 0
    return f"{what}, since {instant(report.at)}" if reaches else f"{what}, does not hold"


def _looked_at(look: Looking, gate: Gate) -> str:
    engagement, place = look.engagement, look.place
    if isinstance(gate, KpiGate):
        forces = engagement.forces(gate, place)
        force = next((force for force in reversed(forces) if force.since <= look.at), None)
        if force is None:
            return "no admitted value"
        return "sources disagree" if force.value is None else value_text(force.value)
    if isinstance(gate, DateGate):
        tick = engagement.occurrence(place).dates.get(gate.on.isoformat())
        return "has not come" if tick is None else f"passed by tick:{instant_text(tick)}"
    assert isinstance(gate, MilestoneGate)
    accepted = engagement.occurrence(engagement.needed(gate, place)).accepted
    return f"accepted to {next((level for since, level in reversed(accepted) if since <= look.at), '0')} %"


def value_text(value: KpiValue) -> str:
    """What was measured, for which period, in which revision, by whom and when."""
    status, period = "" if value.final else ", provisional", ""
    if value.start is not None and value.end is not None:
        bounds = (instant(bound) if isinstance(bound, int) else str(bound) for bound in (value.start, value.end))
        period = f", for {' to '.join(bounds)}"
    return f"was {value.value} (revision {value.revision}{status}{period}, {value.cause}, observed {instant(value.at)})"


def _decided(decision: FilingDecision | None) -> str:
    if decision is None:
        return "no decision in force"
    confirmed = "without a confirmation id"
    if decision.confirmation_id is not None:
        confirmed = f"confirmed as {decision.confirmation_id}"
    return f"{decision.decision} {confirmed} ({decision.cause}, decided {instant(decision.at)})"


def missing_since(engagement: Engagement, place: Place, found: Assessment) -> dict[str, list[str]]:
    """Of what a status may name as missing, by its gate: the dated facts that it is missing in spite of."""
    said: dict[str, list[str]] = {}
    definition = engagement.definition(place)
    settled = [submission for submission in found.submissions if submission.alive and submission.ballot.complete]
    for gate in leaves(gates(definition)):
        for name, dated in _dated(engagement, place, gate):
            said.setdefault(name, []).append(dated)
    for gate in leaves(definition.depends_on) if settled else ():
        claim = settled[-1]
        at = max([claim.opened_at, *(since for since in claim.ballot.granted if since is not None)])
        for name in _names(gate):
            said.setdefault(name, []).append(f"submission {claim.number} has waited for it since {instant(at)}")
    return said


def _names(gate: Gate) -> list[str]:
    """What a status calls a gate that looks outside the occurrence."""
    if isinstance(gate, KpiGate):
        return [f"kpi:{gate.id}"]
    if isinstance(gate, RegulatorGate):
        return [f"regulator:{regulator}" for regulator in gate.by]
    if isinstance(gate, MilestoneGate):
        return [f"milestone:{gate.milestone}"]
    return [f"date:{gate.on}"] if isinstance(gate, DateGate) else []


def _dated(engagement: Engagement, place: Place, gate: Gate) -> Iterator[tuple[str, str]]:
    if isinstance(gate, KpiGate):
        forces = engagement.forces(gate, place)
        if forces:
            value, since = forces[-1].value, instant(forces[-1].since)
            yield f"kpi:{gate.id}", f"they disagree since {since}" if value is None else f"observed {instant(value.at)}"
    elif isinstance(gate, RegulatorGate):
        for regulator, rulings in engagement.rulings(gate, place).items():
            if rulings:
                yield f"regulator:{regulator}", f"{regulator} decided {instant(rulings[-1].since)}"
    elif isinstance(gate, MilestoneGate):
        accepted = engagement.occurrence(engagement.needed(gate, place)).accepted
        if accepted:
            at, level = accepted[-1]
            yield f"milestone:{gate.milestone}", f"{gate.milestone} at {level} % since {instant(at)}"
