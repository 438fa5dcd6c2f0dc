"""What gates say at an instant, in percent of what they let through (the table of gates; rules 10 and 11)."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol

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
    RegulatorGate,
)
from milepost.sim.oracle_days import start_of
from milepost.sim.oracle_facts import Facts, Key, Report, reach
from milepost.sim.oracle_values import ruling_at, satisfied_since, standing

__all__ = ["Gates", "Others", "asks", "leaves"]

NONE, ALL = Fraction(0), Fraction(100)


class Others(Protocol):
    """What was accepted of the milestones that this one depends on."""

    def reached_at(self, milestone: str, occurrence: str | None, at_least: str, at: int) -> int | None:
        """Since when a milestone is accepted to a percentage, as seen at an instant."""
        ...

    def instants(self, milestone: str, occurrence: str | None) -> Iterable[int]:
        """When what is accepted of a milestone changes."""
        ...


def leaves(gates: Iterable[Gate]) -> Iterator[Gate]:
    """The gates inside `any_of` and `all_of`, and those that stand alone."""
    for gate in gates:
        if isinstance(gate, AnyOf | AllOf):
            yield from leaves(gate.gates)
        else:
            yield gate


def asks(gates: Iterable[Gate], *kinds: type) -> bool:
    """Whether a gate of one of these kinds is among them."""
    return any(isinstance(gate, kinds) for gate in leaves(gates))


class Gates:
    """The gates of one occurrence."""

    def __init__(self, facts: Facts, key: Key, rivals: frozenset[str], others: Others) -> None:
        self.facts, self.key, self.others = facts, key, others
        self.rivals = rivals  # regulators that several milestones that repeat per filing list
        self.reports: list[Report] = facts.reports.get(key, [])  # that change anything
        self.milestone: Milestone  # as it is at the instant that is looked at

    @property
    def month(self) -> str | None:
        """The month whose values count, of a milestone that repeats monthly."""
        return self.key[1] if self.milestone.repeats == "monthly" else None

    def report_at(self, at: int) -> Report | None:
        """The report in force: the last one dated by then, whatever its kind."""
        return next((report for report in reversed(self.reports) if report.at <= at), None)

    def report(self, at: int) -> Report | None:
        """The report in force, unless it was withdrawn."""
        report = self.report_at(at)
        return report if report and report.event.kind != "WITHDRAWN" else None

    # -- as things are

    def percent(self, gates: Iterable[Gate], at: int) -> Fraction:
        """What all of the gates let through: what the report reaches, all, or nothing."""
        return min((self._percent(gate, at) for gate in gates), default=ALL)

    def _percent(self, gate: Gate, at: int) -> Fraction:
        match gate:
            case AnyOf():
                return max(self._percent(inner, at) for inner in gate.gates)
            case AllOf():
                return min(self._percent(inner, at) for inner in gate.gates)
            case Completed():
                report = self.report(at)
                return reach(self.milestone, report.completion) if report else NONE
            case _:
                return ALL if self._since(gate, at) is not None else NONE

    def since(self, gates: Iterable[Gate], at: int) -> int:
        """The time of the last fact that closed the gates, of those that hold."""
        return max((self._closed(gate, at) or 0 for gate in gates), default=0)

    def _closed(self, gate: Gate, at: int) -> int | None:
        if self._percent(gate, at) == NONE:
            return None
        match gate:
            case AnyOf() | AllOf():
                return self.since(gate.gates, at)
            case _:
                return self._since(gate, at)

    def _since(self, gate: Gate, at: int) -> int | None:
        """Since when a single gate holds by what is in force at `at`; None if it does not."""
        match gate:
            case Completed():
                report = self.report(at)
                return report.at if report else None
            case EvidenceGate():
                report = self.report(at)
                names = {item.name for item in report.event.evidence if item.sha256} if report else set()
                return report.at if report and names.issuperset(gate.names) else None
            case KpiGate():
                return satisfied_since(self.facts, gate, at, self.month)
            case RegulatorGate():
                return self._ruled(gate, at)
            case DateGate():
                return self._begun(gate, at)
            case MilestoneGate():
                return self.others.reached_at(gate.milestone, self.key[1], gate.at_least, at)
            case _:
                raise TypeError(f"{type(gate).__name__} found, a single gate expected")

    def _begun(self, gate: DateGate, at: int) -> int | None:
        """The start of the day, once it has come and a tick has said so; not before the contract takes effect."""
        facts = self.facts
        starts = start_of(gate.on, facts.contract.timezone)
        since = max(starts, facts.opens)
        return since if facts.clock is not None and starts <= facts.clock and since <= at else None

    def _standing(self, gate: RegulatorGate, regulator: str, at: int) -> tuple[str, int]:
        """How one regulator's decision in force stands, and its time."""
        filing = gate.filing if gate.filing is not None else self.key[1]
        routed = gate.filing is None and regulator in self.rivals
        found = ruling_at(self.facts, regulator, filing or "", at, self.key[0] if routed else None)
        return standing(gate, found), found[0].decided_at if found else 0

    def _ruled(self, gate: RegulatorGate, at: int) -> int | None:
        found = [self._standing(gate, regulator, at) for regulator in gate.by]
        return max(since for _, since in found) if all(said == "above" for said, _ in found) else None

    # -- as they are once something was accepted

    def kept(self, gates: Iterable[Gate], at: int) -> Fraction:
        """What the report in force leaves of it.

        All else counts as it was, for a change of it only flags; but alternatives carry only if they hold now.
        """
        return min((self._kept(gate, at) for gate in gates), default=ALL)

    def _kept(self, gate: Gate, at: int) -> Fraction:
        match gate:
            case AnyOf():
                brought = asks([gate], Completed, EvidenceGate)
                return self._percent(gate, at) if brought else ALL
            case AllOf():
                return min(self._kept(inner, at) for inner in gate.gates)
            case Completed():
                return self._percent(gate, at)
            case EvidenceGate():
                return NONE if self.report(at) is None else ALL
            case _:
                return ALL

    def fell(self, gates: Iterable[Gate], at: int) -> bool:
        """Whether a regulator decides now what takes a gate away: among alternatives none may hold instead."""
        return any(self._fell(gate, at) for gate in gates)

    def _fell(self, gate: Gate, at: int) -> bool:
        match gate:
            case AnyOf():
                return any(self._fell(inner, at) for inner in gate.gates) and self._percent(gate, at) == NONE
            case AllOf():
                return any(self._fell(inner, at) for inner in gate.gates)
            case RegulatorGate():
                return any(self._standing(gate, regulator, at) == ("below", at) for regulator in gate.by)
            case _:
                return False
