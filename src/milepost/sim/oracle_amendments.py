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
        gates = Gates(facts, key, frozenset(), Found(terms))
        gates.reports = [
            Report(max(event.occurred_at, since), Fraction(100), claim_of(event, AMENDMENT)) for event in known[number]
        ]
        walk = Walk(facts, terms, key, deadlines, gates)
        # Which version a decision is for it says by its occurrence, else by its date.
        unsaid = [d for d in facts.decisions.get((AMENDMENT, None), []) if number == first + 1 or d.decided_at > since]
        walk.decisions = [*facts.decisions.get(key, []), *unsaid]
        claims[key] = walk.run({})
        if not claims[key].percent:
            break
        since = claims[key].levels[0].at
        clock = since if clock is None else max(since, clock)
        terms_of = [event.terms for event in known[number] if event.occurred_at <= since and event.terms is not None]
        versions.append(terms_of[-1])
    return Terms(versions, clock), claims


def _known(facts: Facts, contract: Contract) -> dict[int, list[EngagementEvent]]:
    """The amendments that may be signed, by version: none of another engagement or currency, none skipped."""
    found: dict[int, list[EngagementEvent]] = {}
    for event in facts.amended:
        terms = event.terms
        if terms is None or terms.amendment is None or terms.version <= contract.version:
            continue
        if terms.version - 1 != contract.version and terms.version - 1 not in found:
            continue
        if (terms.engagement, terms.currency) == (contract.engagement, contract.currency):
            found.setdefault(terms.version, []).append(event)
    return found
