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
    "begins",
    "carries",
    "falls",
    "fell",
    "leaves",
    "musts",
    "resolve",
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
    """Holds within these spans; at `reversals` a regulator's decision takes back what is accepted (rule 11)."""

    spans: tuple[Span, ...]
    reversals: tuple[int, ...] = ()


class Under(NamedTuple):
    """The condition, as long as the terms that name it are in force: `[since, until)`.

    `begun`: the beginning itself has come, so that what holds by then is claimed; no tick, no beginning.
    """

    since: int
    until: int
    begun: bool
    condition: "Condition"


Condition = Completed | EvidenceGate | During | Either | Every | Under


def resolve(
    gates: Sequence[Gate],
    spans_of: Callable[[Gate], tuple[Span, ...]],
    reversals_of: Callable[[RegulatorGate], tuple[int, ...]] = lambda _: (),
) -> Every:
    """All of the gates as one condition.

    `spans_of` says when a gate holds that does not look at the own report, `reversals_of` at which instants a decision
    below the rung comes into force.
    """
    return Every(tuple(_resolve(gate, spans_of, reversals_of) for gate in gates))


def _resolve(
    gate: Gate, spans_of: Callable[[Gate], tuple[Span, ...]], reversals_of: Callable[[RegulatorGate], tuple[int, ...]]
) -> Condition:
    if isinstance(gate, AnyOf):
        return Either(tuple(_resolve(inner, spans_of, reversals_of) for inner in gate.gates))
    if isinstance(gate, AllOf):
        return resolve(gate.gates, spans_of, reversals_of)
    if isinstance(gate, Completed | EvidenceGate):
        return gate
    return During(spans_of(gate), reversals_of(gate) if isinstance(gate, RegulatorGate) else ())


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
        yield from (at for at in starts(condition.condition) if condition.since <= at < condition.until)


def begins(condition: Condition) -> Iterator[int]:
    """The instants at which other terms begin to name the condition."""
    if isinstance(condition, Under) and condition.begun:
        yield condition.since
    elif isinstance(condition, Either | Every):
        for inner in condition.conditions:
            yield from begins(inner)


def falls(condition: Condition) -> Iterator[int]:
    """The instants at which a regulator's decision below the rung comes into force."""
    if isinstance(condition, During):
        yield from condition.reversals
    elif isinstance(condition, Either | Every):
        for inner in condition.conditions:
            yield from falls(inner)
    elif isinstance(condition, Under):
        yield from (at for at in falls(condition.condition) if condition.since <= at < condition.until)


def fell(condition: Condition, at: int, report: Report | None, level: Decimal) -> bool:
    """Whether a regulator's decision takes back at the instant what is accepted; among alternatives only if none holds.

    That another gate holds no longer, or that a decision only waits (no confirmation id, two that differ), flags.
    """
    if isinstance(condition, During):
        return at in condition.reversals
    if isinstance(condition, Every):
        return any(fell(inner, at, report, level) for inner in condition.conditions)
    if isinstance(condition, Under):
        return condition.since <= at < condition.until and fell(condition.condition, at, report, level)
    if isinstance(condition, Either):
        versions = all(isinstance(inner, Under) for inner in condition.conditions)  # one at a time: no alternatives
        lost = any(fell(inner, at, report, level) for inner in condition.conditions)
        return lost and (versions or not true_at(condition, at, report, level))
    return False


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
