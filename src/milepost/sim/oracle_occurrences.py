"""Which occurrences there are, and what is accepted of all of them, what is depended on first."""

import re
from collections.abc import Iterable
from fractions import Fraction

from milepost.core.contract import KpiGate, MilestoneGate, RegulatorGate, Success
from milepost.sim.oracle_accepted import Accepted
from milepost.sim.oracle_claims import Walk
from milepost.sim.oracle_deadlines import Deadlines
from milepost.sim.oracle_facts import SIGNOFF, Facts, Key, exact
from milepost.sim.oracle_gates import Gates, leaves
from milepost.sim.oracle_signoff import SignoffWalk
from milepost.sim.oracle_terms import Terms
from milepost.sim.oracle_values import belongs_to

__all__ = ["Found", "assessed"]

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


class Found(dict[Key, Accepted]):
    """What is accepted, by milestone and occurrence."""

    def __init__(self, terms: Terms) -> None:
        super().__init__()
        self.terms = terms

    def _other(self, milestone: str, occurrence: str | None) -> Accepted:
        """Between milestones that repeat: the same occurrence."""
        repeats = self.terms.ever(milestone).repeats != "none"
        return self.get((milestone, occurrence if repeats else None), Accepted())

    def reached_at(self, milestone: str, occurrence: str | None, at_least: str, at: int) -> int | None:
        """Since when a milestone is accepted to a percentage, as seen at an instant."""
        return self._other(milestone, occurrence).reached_at(exact(at_least), at)

    def instants(self, milestone: str, occurrence: str | None) -> Iterable[int]:
        """When what is accepted of a milestone changes."""
        return [at for at, _ in self._other(milestone, occurrence).steps]

    def steps(self) -> dict[str, list[tuple[int, Fraction]]]:
        """What was accepted of each milestone, of all its occurrences."""
        steps: dict[str, list[tuple[int, Fraction]]] = {}
        for (milestone, _), found in self.items():
            steps.setdefault(milestone, []).extend(found.steps)
        return {milestone: sorted(times) for milestone, times in steps.items()}


def assessed(facts: Facts, terms: Terms, deadlines: Deadlines) -> Found:
    """Every occurrence's acceptance, and the sign-off's own.

    An amount may decide who signs, and what is accepted may decide an amendment's amounts: both until neither changes.
    """
    rivals = _rivals(terms)
    steps: dict[str, list[tuple[int, Fraction]]] = {}
    while True:
        found = Found(terms)
        for milestone in _in_order(terms):
            places = range(len(terms.versions))
            fee_minor = terms.fees_by_place(milestone, places, steps)
            for occurrence in _occurrences(facts, terms, milestone, rivals):
                key = (milestone, occurrence)
                walk = Walk(facts, terms, key, deadlines, Gates(facts, key, rivals, found))
                found[key] = walk.run(fee_minor)
        signoff = (SIGNOFF, None)
        last = SignoffWalk(facts, terms, signoff, deadlines, Gates(facts, signoff, rivals, found))
        last.wait_for(found)
        found[signoff] = last.run({})
        if len(terms.versions) == 1 or found.steps() == steps:
            return found
        steps = found.steps()


def _in_order(terms: Terms) -> list[str]:
    """The milestones, what is depended on first; a contract without cycles was linted."""
    waiting, ready = terms.milestones(), list[str]()
    while waiting:
        free = [name for name in waiting if _needs(terms, name) <= {*ready, name}]
        assert free, "a contract without cycles was linted"
        ready += free
        waiting = [name for name in waiting if name not in free]
    return ready


def _needs(terms: Terms, name: str) -> set[str]:
    return {
        gate.milestone
        for version in terms.versions
        for milestone in version.milestones
        if milestone.id == name
        for gate in leaves(milestone.requires + milestone.depends_on)
        if isinstance(gate, MilestoneGate)
    }


def _rivals(terms: Terms) -> frozenset[str]:
    """The regulators that more than one milestone that repeats per filing lists: the decision says which (rule 9)."""
    listed: dict[str, set[str]] = {}
    for name in terms.milestones():
        milestone = terms.ever(name)
        for gate in leaves(milestone.requires + milestone.depends_on):
            if milestone.repeats == "per_filing" and isinstance(gate, RegulatorGate) and gate.filing is None:
                for regulator in gate.by:
                    listed.setdefault(regulator, set()).add(name)
    return frozenset(regulator for regulator, names in listed.items() if len(names) > 1)


def _occurrences(facts: Facts, terms: Terms, name: str, rivals: frozenset[str]) -> list[str | None]:
    """The occurrences that any fact names."""
    milestone = terms.ever(name)
    if milestone.repeats == "none":
        return [None]
    told = [*facts.reports.items(), *facts.decisions.items()]
    found = {key[1] for key, events in told if key[0] == name and events}
    gates = list(leaves(milestone.requires + milestone.depends_on))
    if milestone.repeats == "monthly":
        found = {month for month in found if month is not None and _MONTH.fullmatch(month)}
        kpis = {gate.id for gate in gates if isinstance(gate, KpiGate)}
        kpis |= {milestone.fee.kpi} if isinstance(milestone.fee, Success) else set()
        found |= {belongs_to(facts, value) for value in facts.values if value.kpi_id in kpis}
    elif milestone.repeats == "per_filing":
        regulators = {regulator for gate in gates if isinstance(gate, RegulatorGate) for regulator in gate.by}
        found |= {
            ruling.filing_id
            for ruling in facts.rulings
            if ruling.regulator in regulators and (ruling.regulator not in rivals or ruling.milestone_id == name)
        }
    return [*sorted(occurrence for occurrence in found if occurrence is not None)]
