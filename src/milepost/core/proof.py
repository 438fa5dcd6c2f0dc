"""What closed the gates of a charge: events for `caused_by`, their documents, the values in the attributes."""

from collections.abc import Iterator
from typing import NamedTuple

from milepost.core.calendar import instant_text
from milepost.core.claims import Assessment, Submission
from milepost.core.contract import Completed, DateGate, EvidenceGate, Gate, KpiGate, RegulatorGate, Success
from milepost.core.engagement import Engagement
from milepost.core.events import Evidence
from milepost.core.facts import Decision, FilingDecision, KpiValue, Occurrence, Place
from milepost.core.gates import leaves, true_at
from milepost.core.rules.spans import holds
from milepost.core.terms import AMENDMENT, gates

__all__ = ["Proof", "prove"]


class Proof(NamedTuple):
    """`caused_by` sorted, documents in the order of the gates, attributes by the names of events.md."""

    caused_by: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    attributes: dict[str, str]


def prove(engagement: Engagement, place: Place, part: Occurrence, found: Assessment, gross: int, at: int) -> Proof:
    """What proves a line that says what holds at the instant `at`; a credit names the event that brought it."""
    fee, priced_by = engagement.definition(place, found.governed_at).fee, found.basis.value
    measured = [(fee.kpi, priced_by)] if isinstance(fee, Success) and priced_by is not None else []
    if gross < 0:
        return Proof((engagement.cause,), engagement.evidence(), _attributes(measured, []))
    held = list(_held(engagement, place, at))
    for gate in held:
        if isinstance(gate, KpiGate) and gate.id not in {kpi for kpi, _ in measured}:
            value = _value(engagement, gate, place, at)
            measured += [] if value is None else [(gate.id, value)]
    decided = [d for gate in held if isinstance(gate, RegulatorGate) for d in _decided(engagement, gate, place, at)]
    attributes = _attributes(measured, decided)
    if found.governing is None:
        return Proof((engagement.cause,), engagement.evidence(), attributes)
    if part.lines > 1 and part.billed_acceptance == found.governing.accepted_at:
        amended = _amended_by(engagement, place, found)
        if amended:
            return Proof(amended, engagement.evidence(), attributes)
    causes = {value.cause for _, value in measured}
    evidence: dict[tuple[str, str], Evidence] = {}
    claim, reported = found.governing, _reported(engagement, place, found.governing)
    if reported and claim.report is not None:
        causes.add(claim.report.cause)
        evidence.update({(e.name, e.sha256): e for e in claim.report.evidence})
    evidence.update({(e.name, e.sha256): e for _, value in measured for e in value.evidence})
    signed: list[Decision | FilingDecision] = [decision for _, decision in claim.ballot.signatures.values()]
    causes.update(f"tick:{instant_text(tick)}" for tick in claim.ballot.ticks())
    for decision in [*signed, *decided]:
        causes.add(decision.cause)
        evidence.update({(e.name, e.sha256): e for e in decision.evidence})
    for gate in held:
        if isinstance(gate, DateGate):
            causes.add(f"tick:{instant_text(part.dates[gate.on.isoformat()])}")
    return Proof(tuple(sorted(causes or {engagement.cause})), tuple(evidence.values()), attributes)


def _amended_by(engagement: Engagement, place: Place, found: Assessment) -> tuple[str, ...]:
    """What brought a difference of what was accepted before: the amendment, and what put it in force."""
    version = engagement.governing(place, found).contract.version
    claims = engagement.occurrence(Place(AMENDMENT, str(version))).reports
    return tuple(sorted({claims[-1].cause, engagement.cause})) if claims else ()


def _held(engagement: Engagement, place: Place, at: int) -> Iterator[Gate]:
    """The gates that look outside the occurrence and held at the instant: of alternatives, those that did."""
    for gate in leaves(gates(engagement.definition(place, at))):
        if not isinstance(gate, Completed | EvidenceGate) and holds(engagement.gate_spans(gate, place), at):
            yield gate


def _reported(engagement: Engagement, place: Place, claim: Submission) -> bool:
    """Whether a gate held because of the report."""
    own = leaves(gates(engagement.definition(place, claim.accepted_at)))
    return any(
        isinstance(gate, Completed | EvidenceGate) and true_at(gate, claim.opened_at, claim.report, claim.level)
        for gate in own
    )


def _value(engagement: Engagement, gate: KpiGate, place: Place, at: int) -> KpiValue | None:
    return next((value for since, value in reversed(engagement.forces(gate, place)) if since <= at), None)


def _decided(engagement: Engagement, gate: RegulatorGate, place: Place, at: int) -> Iterator[FilingDecision]:
    for rulings in engagement.rulings(gate, place).values():
        decision = next((ruling.decision for ruling in reversed(rulings) if ruling.since <= at), None)
        if decision is not None:
            yield decision


def _attributes(measured: list[tuple[str, KpiValue]], decided: list[FilingDecision]) -> dict[str, str]:
    """The value that prices, else the first gate's; the confirmation ids of all regulators."""
    attributes: dict[str, str] = {}
    if measured:
        kpi, value = measured[0]
        attributes.update(kpi_id=kpi, kpi_value=value.value, kpi_revision=str(value.revision))
    confirmed = dict.fromkeys(d.confirmation_id for d in decided if d.confirmation_id is not None)
    if confirmed:
        attributes["confirmation_id"] = ",".join(confirmed)
    return attributes
