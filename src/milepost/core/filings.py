"""A regulator's decision becomes a fact about a filing, seen by every gate that names the two (rule 9)."""

from milepost.core.contract import RegulatorGate
from milepost.core.engagement import Engagement
from milepost.core.events import RegulatorDecision
from milepost.core.facts import FilingDecision, Place, confirmation_key, filing_key
from milepost.core.gates import leaves
from milepost.core.outcomes import APPLIED, WAITING, Intake, parked, refused
from milepost.core.rules.regulators import ladder, rank
from milepost.core.terms import gates

__all__ = ["decide"]

_BELOW = ("REJECTED", "REVOKED")


def decide(engagement: Engagement, event: RegulatorDecision) -> Intake:
    """Make a fact of a regulator's decision."""
    if event.milestone_id is not None and event.milestone_id not in engagement.agreed.milestones:
        return parked("UNKNOWN_MILESTONE")
    filing = engagement.filing(event.filing_id)
    decision = FilingDecision(
        at=event.decided_at,
        regulator=event.regulator,
        decision=event.decision,
        cause=engagement.cause,
        confirmation_id=event.confirmation_id,
        sequence=event.sequence,
        milestone=event.milestone_id,
        evidence=event.evidence,
    )
    # those that the same gates see: where the sender's milestone decides, another one's are other decisions
    per_filing = engagement.agreed.deciders.get(event.regulator, ())
    known = [
        other
        for other in filing.decisions
        if other.regulator == event.regulator and (len(per_filing) < 2 or other.milestone == decision.milestone)
    ]
    if any(_says_the_same(decision, other) for other in known):
        return refused("DUPLICATE")
    if any(rank(other) > rank(decision) for other in known):
        return refused("SUPERSEDED")
    if _is_taken(engagement, event):
        return refused("CONFIRMATION_ID_REUSED")
    filing.decisions.append(decision)
    engagement.staged.save(filing_key(engagement.name, event.filing_id), filing)
    concerned = _concerned(engagement, event)
    if not concerned:
        return refused("NOT_USED")
    if any(rank(other) == rank(decision) and other.decision != decision.decision for other in known):
        return Intake(WAITING, "CONFLICTING_DECISIONS", concerned)
    if decision.confirmation_id is None and _would_pay(engagement, event.filing_id, decision, concerned):
        return Intake(WAITING, "CONFIRMATION_ID_MISSING", concerned)
    return Intake(APPLIED, concerned=concerned)


def _says_the_same(decision: FilingDecision, other: FilingDecision) -> bool:
    return (
        decision.at,
        decision.decision,
        decision.sequence,
        decision.confirmation_id,
        decision.milestone,
        decision.evidence,
    ) == (other.at, other.decision, other.sequence, other.confirmation_id, other.milestone, other.evidence)


def _is_taken(engagement: Engagement, event: RegulatorDecision) -> bool:
    """Whether the confirmation id pays for another filing; the first filing that comes with it has it from then on.

    What rejects or revokes is paid nothing: it takes no id, and no id keeps it from counting.
    """
    if event.confirmation_id is None or event.decision in _BELOW:
        return False
    key = confirmation_key(engagement.name, event.confirmation_id)
    owner = engagement.staged.load(key, str)
    if owner is None:
        engagement.staged.save(key, event.filing_id)
    return owner not in (None, event.filing_id)


def _concerned(engagement: Engagement, event: RegulatorDecision) -> tuple[Place, ...]:
    """The occurrences with a gate that sees the decision."""
    terms = engagement.agreed
    named = terms.filed.get((event.filing_id, event.regulator), ())
    found = [place for name in named for place in engagement.places(name)]
    per_filing = terms.deciders.get(event.regulator, ())
    found += [Place(name, event.filing_id) for name in per_filing if len(per_filing) == 1 or name == event.milestone_id]
    return tuple(dict.fromkeys(found))


def _would_pay(engagement: Engagement, filing: str, decision: FilingDecision, concerned: tuple[Place, ...]) -> bool:
    """Whether the decision reaches the rung of a gate, so that all it lacks is the confirmation id."""
    return any(
        isinstance(gate, RegulatorGate)
        and decision.regulator in gate.by
        and gate.filing in (None, filing)
        and ladder(decision.decision, gate.at_least)
        for name in {place.milestone: None for place in concerned}
        for gate in leaves(gates(engagement.agreed.milestones[name]))
    )
