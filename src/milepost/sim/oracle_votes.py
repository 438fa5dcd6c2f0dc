"""Who signed a submission, in which step, and whether that is enough (rules 13 to 17)."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from milepost.core.contract import Milestone, Policy, Step
from milepost.core.events import ApprovalDecision, KpiEvent
from milepost.sim.oracle_days import day_of, instant_text
from milepost.sim.oracle_deadlines import Deadlines
from milepost.sim.oracle_facts import Key, exact
from milepost.sim.oracle_prices import Quote
from milepost.sim.oracle_terms import Terms

__all__ = ["Content", "Submission", "Votes", "claim_hash"]

_NONE = Fraction(0)


class Content(NamedTuple):
    """What a signature is for, beside the milestone and its occurrence."""

    claim: Fraction
    hashes: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[object, ...], ...] = ()
    criteria: str | None = None

    @classmethod
    def of(cls, claim: Fraction, hashes: tuple[str, ...], quote: Quote, criteria: str | None) -> "Content":
        return cls(claim, hashes, quote.attributes, tuple(_named(value) for value in quote.values), criteria)


@dataclass
class Submission:
    """One claim that people are asked to sign; `ended` says by what: rejected, late, report, accepted, or next."""

    number: int
    at: int
    claim: Fraction
    content: Content
    hash: str
    reporter: str | None
    quote: Quote
    gross_minor: int  # of the occurrence to date, this one included
    signatures: dict[tuple[str, str], ApprovalDecision] = field(default_factory=dict)
    settled_at: int | None = None
    ended: str | None = None
    ended_at: int | None = None
    certified: Fraction = _NONE
    reopened: bool = False  # by a regulator that took back what was accepted


def _named(event: KpiEvent) -> tuple[object, ...]:
    starts, ends = (
        period if period is None else instant_text(period) if isinstance(period, int) else period.isoformat()
        for period in (event.period_start, event.period_end)
    )
    return (event.kpi_id, event.source, starts, ends, event.revision, _decimal(exact(event.value)))


def _decimal(number: Fraction) -> str:
    """A number without exponent or trailing zeros; it came in as a decimal, so this ends."""
    whole, rest = divmod(abs(number), 1)
    digits = ""
    while rest:
        digit, rest = divmod(rest * 10, 1)
        digits += str(digit)
    sign = "-" if number < 0 else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def claim_hash(milestone: str, occurrence: str | None, content: Content) -> str:
    """SHA-256 over the claim and its evidence (sorted hashes), as canonical JSON."""
    fields: dict[str, object] = {
        "attributes": dict(content.attributes),
        "completion": _decimal(content.claim),
        "criteria": content.criteria,
        "evidence": list(content.hashes),
        "milestone": milestone,
        "occurrence": occurrence,
        "values": [list(value) for value in content.values],
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Votes:
    """The ballots of one occurrence, judged by the policy in force at the instant that is looked at."""

    def __init__(self, terms: Terms, key: Key, deadlines: Deadlines) -> None:
        self.terms, self.key, self.deadlines = terms, key, deadlines
        self.policy: Policy | None = None
        self.milestone: Milestone | None = None

    def steps(self, submission: Submission) -> list[Step]:
        """The steps that exist for this submission's amount (rule 17)."""
        assert self.policy
        return [
            step
            for step in self.policy.steps
            if step.amount_at_least_minor is None or submission.gross_minor >= step.amount_at_least_minor
        ]

    def apply(self, submission: Submission, decisions: Iterable[ApprovalDecision], at: int) -> None:
        """Decisions of one date in the order of arrival; a step that opens at this date still meets them."""
        waiting = [d for d in decisions if self.names(submission, d) and self._may_sign(submission, d, at)]
        while waiting and submission.ended is None:
            decision = next((d for d in waiting if self._step_is_open(submission, d, at)), None)
            if decision is None:
                return
            waiting.remove(decision)
            if decision.decision == "REJECTED":
                submission.ended, submission.ended_at, submission.settled_at = "rejected", at, None
            elif decision.decision == "WITHDRAWN":
                submission.signatures.pop((decision.approver, decision.role), None)
            else:
                self._sign(submission, decision, at)

    def _sign(self, submission: Submission, decision: ApprovalDecision, at: int) -> None:
        """Separation of duties refuses a signature in a second step, and the reporter's that would complete alone."""
        if self._signs_another_step(submission, decision):
            return
        key = (decision.approver, decision.role)
        before = dict(submission.signatures)
        submission.signatures[key] = decision
        signers = {person for person, _ in submission.signatures}
        alone = signers == {submission.reporter} and not self._has_deemed(submission, at)
        if alone and self.is_complete(submission, at):
            submission.signatures = before

    def _has_deemed(self, submission: Submission, at: int) -> bool:
        """Whether silence stands for somebody else's signature."""
        deemed = [self._deemed_at(submission, step) for step in self.steps(submission)]
        return any(since is not None and since <= at for since in deemed)

    def _deemed_at(self, submission: Submission, step: Step) -> int | None:
        return self.deadlines.deemed_at(self.key, submission.number, submission.content, step)

    def names(self, submission: Submission, decision: ApprovalDecision) -> bool:
        """Whether the decision is for this submission, or names none."""
        return decision.submission in (None, submission.number) and decision.submission_hash in (None, submission.hash)

    def _place(self, submission: Submission, decision: ApprovalDecision, at: int) -> int | None:
        """The step that the decision's role signs: its own, else one that was escalated to it by then."""
        steps = self.steps(submission)
        own = [place for place, step in enumerate(steps) if step.role == decision.role]
        added = [place for place in range(len(steps)) if decision.role in self._added(submission, place, at)]
        return next(iter(own + added), None)

    def _added(self, submission: Submission, place: int, at: int) -> list[str]:
        step = self.steps(submission)[place]
        return self.deadlines.roles_at(self.key, submission.number, submission.content, step, at)

    def _may_sign(self, submission: Submission, decision: ApprovalDecision, at: int) -> bool:
        """The role is in the policy, the person held it on that day, in time, with the evidence that is asked for."""
        place = self._place(submission, decision, max(at, decision.decided_at))
        if place is None:
            return False
        step = self.steps(submission)[place]
        if decision.decision == "APPROVED" and not {item.name for item in decision.evidence}.issuperset(step.evidence):
            return False
        last = self.deadlines.last(self.key, submission.number, submission.content, step)
        if last is not None and decision.decided_at >= last and not self._has_quorum(submission, place, at):
            return False
        day = day_of(decision.decided_at, self.terms.zone)
        return any(
            person.id == decision.approver
            and (person.since is None or person.since <= day)
            and (person.until is None or day <= person.until)
            for person in self.terms.people_at(decision.role, decision.decided_at)
        )

    def _step_is_open(self, submission: Submission, decision: ApprovalDecision, at: int) -> bool:
        assert self.policy
        place = self._place(submission, decision, max(at, decision.decided_at))
        return place is not None and self.opened(submission, place, at)

    def opened(self, submission: Submission, place: int, at: int) -> bool:
        """Whether a step may be signed: in sequential order when all before it are."""
        assert self.policy
        return not self.policy.sequential or all(self.is_signed(submission, before, at) for before in range(place))

    def is_signed(self, submission: Submission, place: int, at: int) -> bool:
        """Whether enough different people signed the step, or nobody did in time and that counts as given."""
        step = self.steps(submission)[place]
        deemed = self._deemed_at(submission, step)
        return self._has_quorum(submission, place, at) or (deemed is not None and deemed <= at)

    def _has_quorum(self, submission: Submission, place: int, at: int) -> bool:
        step = self.steps(submission)[place]
        roles = {step.role, *self._added(submission, place, at)}
        return len({person for person, role in submission.signatures if role in roles}) >= step.quorum

    def _signs_another_step(self, submission: Submission, decision: ApprovalDecision) -> bool:
        assert self.policy
        return self.policy.distinct and any(
            person == decision.approver and role != decision.role for person, role in submission.signatures
        )

    def is_complete(self, submission: Submission, at: int) -> bool:
        """Whether every step is signed."""
        return all(self.is_signed(submission, place, at) for place in range(len(self.steps(submission))))
