"""Which decision of a regulator on a filing is in force, when (rule 9), and when a regulator gate holds."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from milepost.core.calendar import END_OF_TIME
from milepost.core.facts import FilingDecision
from milepost.core.rules.spans import Span

__all__ = ["Ruling", "ladder", "rank", "reversals", "rulings", "spans"]

_LADDER = {"REJECTED": -1, "REVOKED": -1, "RECEIVED": 0, "VALIDATED": 1, "ACCEPTED": 2}
_RUNGS = {"received": 0, "validated": 1, "accepted": 2}


class Ruling(NamedTuple):
    """From `since` on this decision is in force; None: decisions of one time differ, so none is."""

    since: int
    decision: FilingDecision | None


def rank(decision: FilingDecision) -> tuple[bool, int, int]:
    """What outranks what: a sequence outranks none, then the higher sequence, then the later decision."""
    return decision.sequence is not None, decision.sequence or 0, decision.at


def ladder(decision: str, at_least: str) -> bool:
    """Whether a decision is at or above the rung; REJECTED and REVOKED are below every one."""
    return _LADDER[decision] >= _RUNGS[at_least]


def rulings(decisions: Sequence[FilingDecision], until: int) -> list[Ruling]:
    """The decisions of one regulator on one filing that are in force one after another, up to `until`."""
    found: list[Ruling] = []
    top: list[FilingDecision] = []  # of one rank
    for decision in sorted((d for d in decisions if d.at <= until), key=lambda d: d.at):
        if top and rank(decision) < rank(top[0]):
            continue
        top = [*top, decision] if top and rank(decision) == rank(top[0]) else [decision]
        if found and found[-1].since == decision.at:
            found.pop()
        found.append(Ruling(decision.at, _agreed(top)))
    return found


def _agreed(top: Sequence[FilingDecision]) -> FilingDecision | None:
    """The decision of that rank; of several that say the same the first that carries a confirmation id."""
    if len({decision.decision for decision in top}) > 1:
        return None
    return next((decision for decision in top if decision.confirmation_id is not None), top[0])


def spans(in_force: Sequence[Ruling], at_least: str) -> tuple[Span, ...]:
    """When the decision in force reaches the rung and carries a confirmation id: a span for each decision."""
    found: list[Span] = []
    for i, (since, decision) in enumerate(in_force):
        if decision is None or decision.confirmation_id is None or not ladder(decision.decision, at_least):
            continue
        found.append((since, in_force[i + 1].since if i + 1 < len(in_force) else END_OF_TIME))
    return tuple(found)


def reversals(in_force: Iterable[Sequence[Ruling]], at_least: str) -> tuple[int, ...]:
    """The instants at which a decision below the rung comes into force, of any of these regulators."""
    return tuple(
        since
        for rulings_ in in_force
        for since, decision in rulings_
        if decision is not None and not ladder(decision.decision, at_least)
    )
