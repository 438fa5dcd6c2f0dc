"""Gates as conditions over time: what is known of them without the report in force, resolved once for a walk.

A gate that looks outside the occurrence (a value, a date, a decision, another milestone) is the spans in which it
holds; one that looks at the occurrence's own report stays a gate and is asked at each instant.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from milepost.core import money
from milepost.core.calendar import END_OF_TIME
from milepost.core.contract import AllOf, AnyOf, Completed, EvidenceGate, Gate, MilestoneGate, RegulatorGate
from milepost.core.facts import Report
from milepost.core.rules.spans import Span, holds

__all__ = [
    "Condition",
    "During",
    "Either",
    "Every",
    "Under",
    "accepted_spans",
    "carries",
    "falls",
    "leaves",
    "musts",
    "resolve",
    "stands",
    "starts",
    "true_at",
]


class Either(NamedTuple):
    """At least one holds."""

    conditions: "tuple[Condition, ...]"


class Every(NamedTuple):
    """All hold."""

    conditions: "tuple[Condition, ...]"


class During(NamedTuple):
    """Holds within these spans; `reverses`: what is accepted falls with it (a regulator's decision, rule 11)."""

    spans: tuple[Span, ...]
    reverses: bool = False


class Under(NamedTuple):
    """The condition, as long as the terms that name it are in force: `[since, until)`.

    `begun`: the beginning itself has come, so that what holds by then is claimed; no tick, no beginning.
    """

    since: int
    until: int
    begun: bool
    condition: "Condition"


Condition = Completed | EvidenceGate | During | Either | Every | Under


def resolve(gates: Sequence[Gate], spans_of: Callable[[Gate], tuple[Span, ...]]) -> Every:
    """All of the gates as one condition; `spans_of` says when a gate holds that does not look at the own report."""
    return Every(tuple(_resolve(gate, spans_of) for gate in gates))


def _resolve(gate: Gate, spans_of: Callable[[Gate], tuple[Span, ...]]) -> Condition:
    if isinstance(gate, AnyOf):
        return Either(tuple(_resolve(inner, spans_of) for inner in gate.gates))
    if isinstance(gate, AllOf):
        return resolve(gate.gates, spans_of)
    return (
        gate if isinstance(gate, Completed | EvidenceGate) else During(spans_of(gate), isinstance(gate, RegulatorGate))
    )


def true_at(condition: Condition, at: int, report: Report | None, level: Decimal) -> bool:
    """Whether the condition holds at the instant, with that report in force, for a claim of `level` percent."""
    if isinstance(condition, During):
        return holds(condition.spans, at)
    if isinstance(condition, Every):
        return all(true_at(inner, at, report, level) for inner in condition.conditions)
    if isinstance(condition, Under):
        return condition.since <= at < condition.until and true_at(condition.condition, at, report, level)
    if isinstance(condition, Either):
        return any(true_at(inner, at, report, level) for inner in condition.conditions)
    if isinstance(condition, EvidenceGate):
        return carries(report, condition)
    return report is not None and money.percent(report.completion) >= level


def starts(condition: Condition) -> Iterator[int]:
    """The instants at which something outside the occurrence begins to hold."""
    if isinstance(condition, During):
        yield from (since for since, _ in condition.spans)
    elif isinstance(condition, Either | Every):
        for inner in condition.conditions:
            yield from starts(inner)
    elif isinstance(condition, Under):
        if condition.begun:
            yield condition.since
        yield from (at for at in starts(condition.condition) if condition.since <= at < condition.until)


def falls(condition: Condition) -> Iterator[int]:
    """The instants at which a gate that reverses holds no longer."""
    if isinstance(condition, During):
        if condition.reverses:
            ends = (until for _, until in condition.spans if until < END_OF_TIME)
            yield from (until for until in ends if not holds(condition.spans, until))
    elif isinstance(condition, Either | Every):
        for inner in condition.conditions:
            yield from falls(inner)
    elif isinstance(condition, Under):
        yield from (at for at in falls(condition.condition) if condition.since <= at < condition.until)


def stands(condition: Condition, at: int, report: Report | None, level: Decimal, alternative: bool = False) -> bool:
    """Whether what is accepted stands at the instant, where a gate that reverses may have fallen.

    The fall of any other gate only flags, so those count as held; but not among alternatives, where one has to hold.
    """
    if isinstance(condition, Every):
        return all(stands(inner, at, report, level, alternative) for inner in condition.conditions)
    if isinstance(condition, Under):
        in_force = condition.since <= at < condition.until
        return not in_force or stands(condition.condition, at, report, level, alternative)
    if isinstance(condition, Either):
        if all(isinstance(inner, Under) for inner in condition.conditions):  # no alternatives: one version at a time
            return all(stands(inner, at, report, level, alternative) for inner in condition.conditions)
        return any(stands(inner, at, report, level, True) for inner in condition.conditions)
    if alternative or (isinstance(condition, During) and condition.reverses):
        return true_at(condition, at, report, level)
    return True


def leaves(gates: Sequence[Gate]) -> Iterator[Gate]:
    """The gates themselves, however deep they are nested."""
    for gate in gates:
        if isinstance(gate, AnyOf | AllOf):
            yield from leaves(gate.gates)
        else:
            yield gate


def musts(gates: Sequence[Gate]) -> Iterator[Gate]:
    """The gates that have to hold whatever else does: those that are no alternatives."""
    for gate in gates:
        if isinstance(gate, AllOf):
            yield from musts(gate.gates)
        elif not isinstance(gate, AnyOf):
            yield gate


def carries(report: Report | None, gate: EvidenceGate) -> bool:
    """Whether the report has evidence of each name."""
    return report is not None and {e.name for e in report.evidence}.issuperset(gate.names)


def accepted_spans(gate: MilestoneGate, accepted: list[tuple[int, str]]) -> tuple[Span, ...]:
    """When a milestone whose acceptance changed like this reaches what the gate asks for."""
    found: list[Span] = []
    for i, (since, level) in enumerate(accepted):
        if money.percent(level) >= money.percent(gate.at_least):
            until = accepted[i + 1][0] if i + 1 < len(accepted) else END_OF_TIME
            if found and found[-1][1] == since:
                found[-1] = (found[-1][0], until)
            else:
                found.append((since, until))
    return tuple(found)
