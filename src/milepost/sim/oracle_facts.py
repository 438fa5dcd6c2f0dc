"""What an independent reading of the rules takes for known: reports, values, decisions, the end of an engagement.

Nothing here is shared with the core but the shapes of contracts and events. Everything is computed again from the whole
list of events, slowly; the point is that it is short enough to compare with the rules sentence by sentence.
"""

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from milepost.core.contract import Contract, Milestone
from milepost.core.events import (
    ApprovalDecision,
    ClockTick,
    EngagementEvent,
    Event,
    KpiEvent,
    MilestoneEvent,
    RegulatorDecision,
    UsageEvent,
)
from milepost.sim.oracle_days import start_of

__all__ = ["AMENDMENT", "SIGNOFF", "Facts", "Key", "Report", "exact", "reach", "rung"]

SIGNOFF, AMENDMENT = "@signoff", "@amendment"
_RUNGS = {"RECEIVED": 1, "VALIDATED": 2, "ACCEPTED": 3}

_PRICING = ("charge", "payer_id", "procedure_code")
_DECIMAL = re.compile(r"\d+(\.\d+)?")

Key = tuple[str, str | None]  # a milestone and its occurrence


class Report(NamedTuple):
    """A report that stands: when it holds from, its percentage (0 when withdrawn), and the event itself."""

    at: int
    completion: Fraction
    event: MilestoneEvent


@lru_cache(maxsize=4096)
def exact(text: str) -> Fraction:
    """A decimal string as an exact number."""
    return Fraction(text)


def reach(milestone: Milestone, completion: Fraction) -> Fraction:
    """The percentage that can bill at this completion: it itself with `partial: any`, else the highest tier reached."""
    if milestone.partial_any:
        return completion
    return max((exact(tier) for tier in milestone.tiers if exact(tier) <= completion), default=Fraction(0))


def rung(decision: str) -> int:
    """How high a regulator's decision stands; REJECTED and REVOKED are below every rung."""
    return _RUNGS.get(decision.upper(), 0)


class Facts:
    """The events of one engagement that count, in the order in which they arrived.

    `without`: whether a report cannot be what it says it is, or a decision is for a milestone not known yet.
    """

    def __init__(
        self, contract: Contract, events: Iterable[Event], without: Callable[[MilestoneEvent | RegulatorDecision], bool]
    ) -> None:
        self.contract = contract
        events = list(events)
        opens = self.opens = start_of(contract.effective_from, contract.timezone)
        self.clock = max((event.at for event in events if isinstance(event, ClockTick)), default=None)
        engagement = [e for e in events if isinstance(e, EngagementEvent) and e.occurred_at >= opens]
        self.terminated = next((e.occurred_at for e in engagement if e.change == "TERMINATED"), None)
        self.reports: dict[Key, list[Report]] = {}
        self.decisions: dict[Key, list[ApprovalDecision]] = {}
        self.values: list[KpiEvent] = []
        self.rulings: list[RegulatorDecision] = []
        self.usage: list[UsageEvent] = []
        self.amended: list[EngagementEvent] = []
        said: dict[Key, set[object]] = {}
        for event in events:
            if isinstance(event, EngagementEvent) and event.change == "SIGNED_OFF":
                event = claim_of(event, SIGNOFF)
            match event:
                case EngagementEvent() if event.change == "AMENDED" and event.occurred_at >= opens:
                    self.amended += [event] if self.terminated is None or event.occurred_at <= self.terminated else []
                case MilestoneEvent() if event.occurred_at >= opens and not without(event):
                    if event.milestone_id != SIGNOFF and event.occurred_at > (self.terminated or event.occurred_at):
                        continue  # as if it had never come
                    key = (event.milestone_id, event.occurrence_id)
                    _take_report(self.reports.setdefault(key, []), said.setdefault(key, set()), event)
                case ApprovalDecision() if event.decided_at >= opens:
                    _take_decision(self.decisions.setdefault((event.milestone_id, event.occurrence_id), []), event)
                case UsageEvent() if event.started_at >= opens:
                    self.usage.append(event)
                case KpiEvent() if event.observed_at >= opens:
                    _take_value(self.values, event)
                case RegulatorDecision() if event.decided_at >= opens and not without(event):
                    _take_ruling(self.rulings, event)
                case _:
                    pass
        if self.terminated is not None:
            self._close(self.terminated)

    def _close(self, at: int) -> None:
        """What is dated after the termination does not count; but for reports it did take its place among its kind.

        The sign-off is what retention waits for then.
        """
        for key in self.decisions:
            if key[0] != SIGNOFF:
                self.decisions[key] = [d for d in self.decisions[key] if d.decided_at <= at]
        self.values = [value for value in self.values if value.observed_at <= at]
        self.usage = [entry for entry in self.usage if entry.started_at <= at]
        self.rulings = [ruling for ruling in self.rulings if ruling.decided_at <= at]


def claim_of(event: EngagementEvent, name: str) -> MilestoneEvent:
    """SIGNED_OFF is the claim of `@signoff` (rule 23), AMENDED that of `@amendment`."""
    return MilestoneEvent(
        event_id=event.event_id,
        source=event.source,
        engagement_id=event.engagement_id,
        milestone_id=name,
        kind="REPORTED",
        occurred_at=event.occurred_at,
        reported_by=event.actor,
        evidence=event.evidence,
    )


def _take_report(known: list[Report], said: set[object], event: MilestoneEvent) -> None:
    """Rule 7: dated before the last, said already, or lower without being a correction: no effect."""
    completion = Fraction(0) if event.kind == "WITHDRAWN" else exact(event.completion)
    if (event.occurred_at, _content(event)) in said:
        return
    said.add((event.occurred_at, _content(event)))
    if known and event.occurred_at < known[-1].at:
        return
    if known and event.kind == "REPORTED" and completion < known[-1].completion:
        return
    known.append(Report(event.occurred_at, completion, event))


def _take_decision(known: list[ApprovalDecision], event: ApprovalDecision) -> None:
    """The same decision of the same time again changes nothing."""

    def content(decision: ApprovalDecision) -> object:
        certified = decision.certified_completion
        return (
            decision.decided_at,
            decision.role,
            decision.approver,
            decision.decision,
            decision.submission,
            decision.submission_hash,
            None if certified is None else exact(certified),
            decision.evidence,
        )

    if all(content(decision) != content(event) for decision in known):
        known.append(event)


def _take_value(known: list[KpiEvent], event: KpiEvent) -> None:
    """Rule 8: the same revision and status of the same key again: the first to arrive stands."""
    place = (event.kpi_id, value_key(event), value_rank(event))
    if all((value.kpi_id, value_key(value), value_rank(value)) != place for value in known):
        known.append(event)


def _take_ruling(known: list[RegulatorDecision], event: RegulatorDecision) -> None:
    """Rule 9: what arrives already superseded, or with another filing's confirmation id, has no effect.

    What rejects or revokes claims no id, and counts with any.
    """
    before = [ruling for ruling in known if about(ruling) == about(event)]
    if any(ruling_rank(ruling) > ruling_rank(event) for ruling in before):
        return
    if event.confirmation_id is not None and rung(event.decision):
        others = [r for r in known if r.confirmation_id == event.confirmation_id and rung(r.decision)]
        if any(ruling.filing_id != event.filing_id for ruling in others):
            return
    known.append(event)


def about(ruling: RegulatorDecision) -> tuple[str, str]:
    """What a regulator's decision is about."""
    return (ruling.regulator, ruling.filing_id)


def ruling_rank(ruling: RegulatorDecision) -> tuple[bool, int, int]:
    """The highest sequence, else the latest; a sequence outranks none."""
    return (ruling.sequence is not None, ruling.sequence or 0, ruling.decided_at)


def _content(event: MilestoneEvent) -> object:
    completion = None if event.kind == "WITHDRAWN" else exact(event.completion)
    # a charge is a number, however it is spelled; where it is none, no card reads it
    said = {name: text for name, text in event.attributes.items() if name in _PRICING}
    charge = {"charge": exact(said["charge"])} if _DECIMAL.fullmatch(said.get("charge", "")) else {}
    return (event.kind, completion, event.reported_by, event.evidence, tuple(sorted({**said, **charge}.items())))


def value_key(event: KpiEvent) -> object:
    """What revisions of a value have in common, within one KPI."""
    if event.period_start is None and event.period_end is None:
        return (event.source, "at", event.observed_at)
    return (event.source, event.period_start, event.period_end)


def value_rank(event: KpiEvent) -> tuple[int, bool]:
    """The highest revision wins; at the same revision final over provisional."""
    return (event.revision, event.status == "FINAL")
