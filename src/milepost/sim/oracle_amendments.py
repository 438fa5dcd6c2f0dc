"""Which amendments took effect: each is a claim, signed under the version before it."""

from fractions import Fraction

from milepost.core.contract import Contract
from milepost.core.events import EngagementEvent
from milepost.sim.oracle_accepted import Accepted
from milepost.sim.oracle_claims import Walk
from milepost.sim.oracle_deadlines import Deadlines
from milepost.sim.oracle_facts import AMENDMENT, Facts, Key, Report, claim_of
from milepost.sim.oracle_gates import Gates
from milepost.sim.oracle_occurrences import Found
from milepost.sim.oracle_terms import Terms

__all__ = ["signed"]


def signed(facts: Facts, contract: Contract, deadlines: Deadlines) -> tuple[Terms, dict[Key, Accepted]]:
    """The versions that took effect, and where the signatures of each amendment stand, by its version."""
    versions, claims, first = [contract], dict[Key, Accepted](), contract.version
    since, clock = facts.opens, facts.clock
    known = _known(facts, contract)
    while (number := versions[-1].version + 1) in known:
        terms = Terms(versions, clock)
        key = (AMENDMENT, str(number))
        # Which version a decision is for it says by its occurrence, else by its date.
        unsaid = [d for d in facts.decisions.get((AMENDMENT, None), []) if number == first + 1 or d.decided_at > since]
        decisions = [*facts.decisions.get(key, []), *unsaid]
        taken: list[EngagementEvent] = []
        for event in known[number]:
            ended_at = _ended_at(claims[key]) if taken else -1
            if ended_at is not None and event.occurred_at > ended_at:
                taken.append(event)
                gates = Gates(facts, key, frozenset(), Found(terms))
                gates.reports = [_claim(event, since) for event in taken]
                walk = Walk(facts, terms, key, deadlines, gates)
                walk.decisions = decisions
                claims[key] = walk.run({})
        if not claims[key].percent:
            break
        since = claims[key].levels[0].at
        clock = since if clock is None else max(since, clock)
        accepted = [submission.at for submission in claims[key].submissions if submission.ended == "accepted"]
        claimed_at = accepted[0] if accepted else since
        versions.append([event.terms for event in taken if event.occurred_at <= claimed_at and event.terms][-1])
    return Terms(versions, clock), claims


def _claim(event: EngagementEvent, since: int) -> Report:
    """The claim of an amendment, which waits until the version before it took effect."""
    return Report(max(event.occurred_at, since), Fraction(100), claim_of(event, AMENDMENT))


def _ended_at(found: Accepted) -> int | None:
    """When the last claim was rejected or timed out, so that another one may follow; None if it stands."""
    last = found.submissions[-1] if found.submissions else None
    return last.ended_at if last is not None and last.ended in ("rejected", "late") else None


def _known(facts: Facts, contract: Contract) -> dict[int, list[EngagementEvent]]:
    """The amendments that may be signed, by version: none of another engagement or currency, none skipped."""
    found: dict[int, list[EngagementEvent]] = {}
    for event in facts.amended:
        terms = event.terms
        if terms is None or terms.amendment is None or terms.version <= contract.version:
            continue
        if terms.version - 1 != contract.version and terms.version - 1 not in found:
            continue
        before = found.get(terms.version, [])
        if before and event.occurred_at < before[-1].occurred_at:
            continue
        if (terms.engagement, terms.currency) == (contract.engagement, contract.currency):
            found.setdefault(terms.version, []).append(event)
    return found
