"""What an independent reading of the rules accepts: per milestone, how much, since when, under which submission.

Every instant that an event or a date names is visited in order, and what holds then is asked anew each time.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby

from milepost.core.contract import (
    Completed,
    DateGate,
    EvidenceGate,
    Gate,
    KpiGate,
    Milestone,
    MilestoneGate,
    Policy,
)
from milepost.core.events import ApprovalDecision
from milepost.sim.oracle_facts import Facts, Report, day_of, exact, reach, start_of

__all__ = ["Accepted", "Submission", "accepted", "claim_hash"]

_NONE = Fraction(0)


@dataclass
class Submission:
    """One claim that people are asked to sign; `ended` says by what: rejected, report, accepted, or next."""

    number: int
    at: int
    claim: Fraction
    content: tuple[Fraction, tuple[str, ...]]
    hash: str
    reporter: str | None
    signatures: dict[tuple[str, str], ApprovalDecision] = field(default_factory=dict)
    settled_at: int | None = None
    ended: str | None = None
    ended_at: int | None = None
    certified: Fraction = _NONE


@dataclass
class Accepted:
    """What is accepted of a milestone at each instant (ascending), and the submissions that were opened."""

    steps: list[tuple[int, Fraction]] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)

    def at(self, instant: int) -> Fraction:
        """The accepted percentage at an instant."""
        return next((percent for at, percent in reversed(self.steps) if at <= instant), _NONE)

    @property
    def percent(self) -> Fraction:
        """The accepted percentage when everything has happened."""
        return self.steps[-1][1] if self.steps else _NONE

    def reached_at(self, percent: Fraction, instant: int) -> int | None:
        """Since when at least `percent` is accepted without a break, as seen at `instant`; None if it is not."""
        since = None
        for at, accepted_percent in self.steps:
            if at <= instant:
                since = (at if since is None else since) if accepted_percent >= percent else None
        return since


def accepted(facts: Facts) -> dict[str, Accepted]:
    """Every milestone's acceptance, what is depended on first."""
    found: dict[str, Accepted] = {}
    waiting = list(facts.contract.milestones)
    while waiting:
        ready = [m for m in waiting if all(name in found for name in _depends_on(m))]
        assert ready, "a contract without cycles was linted"
        for milestone in ready:
            found[milestone.id] = _Walk(facts, milestone, found).run()
        waiting = [m for m in waiting if m not in ready]
    return found


def _depends_on(milestone: Milestone) -> set[str]:
    return {gate.milestone for gate in milestone.requires + milestone.depends_on if isinstance(gate, MilestoneGate)}


def _decimal(percent: Fraction) -> str:
    """A percentage without exponent or trailing zeros; percentages came in as decimals, so this ends."""
    whole, rest = divmod(percent, 1)
    digits = ""
    while rest:
        digit, rest = divmod(rest * 10, 1)
        digits += str(digit)
    return f"{whole}.{digits}" if digits else str(whole)


def claim_hash(milestone: Milestone, claim: Fraction, hashes: tuple[str, ...]) -> str:
    """What a signature is for: SHA-256 over the claim and its evidence (sorted hashes), as canonical JSON."""
    fields: dict[str, object] = {
        "attributes": {},
        "completion": _decimal(claim),
        "criteria": milestone.criteria,
        "evidence": list(hashes),
        "milestone": milestone.id,
        "occurrence": None,
        "values": [],
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Walk:
    """One milestone through time."""

    def __init__(self, facts: Facts, milestone: Milestone, others: dict[str, Accepted]) -> None:
        self.facts, self.milestone, self.others = facts, milestone, others
        self.policy: Policy | None = facts.contract.policies[milestone.approval] if milestone.approval else None
        self.percent = _NONE
        self.result = Accepted()
        self.reported = any(isinstance(gate, Completed | EvidenceGate) for gate in milestone.requires)

    def run(self) -> Accepted:
        for at in sorted(set(self._instants())):
            before = self.percent
            self._correct(at)
            claim = self._claim(at)
            if self.policy is None:
                if claim > self.percent and self._all_hold(self.milestone.depends_on, at):
                    self.percent = claim
            else:
                self._open(at, claim)
                self._sign(at)
                self._settle(at)
                self._accept(at)
            if self.percent != before:
                self.result.steps.append((at, self.percent))
        return self.result

    def _instants(self) -> Iterable[int]:
        """Every instant at which something that concerns this milestone may begin or end."""
        facts, milestone = self.facts, self.milestone
        yield from (report.at for report in facts.reports[milestone.id])
        yield from (decision.decided_at for decision in facts.decisions[milestone.id])
        for gate in milestone.requires + milestone.depends_on:
            if isinstance(gate, KpiGate):
                yield from (event.observed_at for event in facts.values if event.kpi_id == gate.id)
            elif isinstance(gate, DateGate):
                starts = max(start_of(gate.on, facts.contract.timezone), facts.opens)
                if facts.terminated is None or starts <= facts.terminated:
                    yield starts
            elif isinstance(gate, MilestoneGate):
                yield from (at for at, _ in self.others[gate.milestone].steps)

    # -- gates

    def _holds(self, gate: Gate, at: int) -> int | None:
        """Since when the gate holds by what is in force at `at`; None if it does not."""
        report = self._report(at)
        match gate:
            case Completed():
                return report.at if report and reach(self.milestone, report.completion) > 0 else None
            case EvidenceGate():
                names = {item.name for item in report.event.evidence if item.sha256} if report else set()
                return report.at if report and names.issuperset(gate.names) else None
            case KpiGate():
                return self.facts.satisfies(gate, at)
            case DateGate():
                return self.facts.date_holds(gate.on, at)
            case MilestoneGate():
                return self.others[gate.milestone].reached_at(exact(gate.at_least), at)
            case _:
                raise NotImplementedError(type(gate).__name__)

    def _all_hold(self, gates: Iterable[Gate], at: int) -> bool:
        return all(self._holds(gate, at) is not None for gate in gates)

    def _report(self, at: int) -> Report | None:
        """The report in force, unless it was withdrawn."""
        report = self.facts.report_at(self.milestone.id, at)
        return report if report and report.event.kind != "WITHDRAWN" else None

    def _claim(self, at: int) -> Fraction:
        """The percentage that `requires` supports: nothing, what the report reaches, or all where none is asked for."""
        if not self._all_hold(self.milestone.requires, at):
            return _NONE
        report = self._report(at)
        if any(isinstance(gate, Completed) for gate in self.milestone.requires):
            assert report
            return reach(self.milestone, report.completion)
        return Fraction(100)

    # -- one instant

    def _correct(self, at: int) -> None:
        """A correction dated now lowers what is accepted and closes what claims more; no other report can be lower."""
        report = self.facts.report_at(self.milestone.id, at)
        if report is None or report.at != at:
            return
        if not self.reported:
            return  # nothing was asked of a report
        asks = any(isinstance(gate, Completed) for gate in self.milestone.requires)
        if not asks and report.event.kind != "WITHDRAWN":
            return
        reached = reach(self.milestone, report.completion)
        self.percent = min(self.percent, reached)
        for submission in self.result.submissions:
            if submission.ended in (None, "next") and submission.claim > reached:
                submission.ended, submission.ended_at, submission.settled_at = "report", at, None

    def _open(self, at: int, claim: Fraction) -> None:
        """A claim above what is accepted opens a submission, if it is new."""
        if claim <= self.percent:
            return
        report = self._report(at)
        hashes = tuple(sorted(item.sha256 for item in report.event.evidence)) if report else ()
        content = (claim, hashes)
        last = self.result.submissions[-1] if self.result.submissions else None
        if last is not None:
            if last.content == content and not self._again(last, at):
                return
            if last.ended is None:
                # Settled: the next one does not supersede it; it only is not the one that unnamed decisions meet.
                last.ended, last.ended_at = "next", at
        reporter = report.event.reported_by if report else None
        number, named = len(self.result.submissions) + 1, claim_hash(self.milestone, *content)
        self.result.submissions.append(Submission(number, at, claim, content, named, reporter))
        self._early(self.result.submissions[-1])

    def _again(self, last: Submission, at: int) -> bool:
        """Whether a submission of unchanged content may follow `last`."""
        if last.ended == "rejected":
            return self._claimed_at(at) > (last.ended_at or 0)
        if last.ended == "report":
            return True
        if last.settled_at is not None and last.certified < last.claim:
            return self._claimed_at(at) > last.settled_at
        return last.ended == "accepted" and self.percent < last.certified

    def _claimed_at(self, at: int) -> int:
        """The time of the report in force, or where no report is asked for, also of what closed `requires`."""
        report = self._report(at)
        reported_at = report.at if report else 0
        if self.reported:
            return reported_at
        return max([reported_at, *(self._holds(gate, at) or 0 for gate in self.milestone.requires)])

    # -- signatures

    def _early(self, opened: Submission) -> None:
        """What was decided before and waits counts from the opening, in the order of the dates.

        Unnamed decisions wait for the first submission; one that names a submission waits for that one.
        """
        in_force = [
            r for r in self.facts.reports[self.milestone.id] if r is self.facts.report_at(self.milestone.id, r.at)
        ]
        below = [report.at for report in in_force if reach(self.milestone, report.completion) == 0]
        if not any(isinstance(gate, Completed) for gate in self.milestone.requires):
            below = []
        early: list[ApprovalDecision] = []
        for decision in self.facts.decisions[self.milestone.id]:
            if decision.decided_at >= opened.at:
                continue
            if decision.submission is not None or decision.submission_hash is not None:
                waits = self._waited_for(opened, decision)
            else:
                waits = opened.number == 1 and not any(at <= decision.decided_at for at in below)
            early += [decision] * waits
        early.sort(key=lambda decision: decision.decided_at)
        for _, group in groupby(early, key=lambda decision: decision.decided_at):
            self._apply(opened, list(group), opened.at)

    def _waited_for(self, opened: Submission, decision: ApprovalDecision) -> bool:
        """Whether a decision named this submission before there was one that it could have meant."""
        before = [s for s in self.result.submissions if s.number < opened.number]
        return self._names(opened, decision) and not any(self._names(s, decision) for s in before)

    def _sign(self, at: int) -> None:
        """The decisions dated now meet the submission that is open now."""
        current = self.result.submissions[-1] if self.result.submissions else None
        if current is not None and current.ended is None:
            dated = [d for d in self.facts.decisions[self.milestone.id] if d.decided_at == at]
            self._apply(current, dated, at)

    def _apply(self, submission: Submission, decisions: list[ApprovalDecision], at: int) -> None:
        """Decisions of one date in the order of arrival; a step that opens at this date still meets them."""
        waiting = [d for d in decisions if self._names(submission, d) and self._may_sign(d)]
        while waiting and submission.ended is None:
            decision = next((d for d in waiting if self._step_is_open(submission, d)), None)
            if decision is None:
                return
            waiting.remove(decision)
            if decision.decision == "REJECTED":
                submission.ended, submission.ended_at, submission.settled_at = "rejected", at, None
            elif decision.decision == "WITHDRAWN":
                submission.signatures.pop((decision.approver, decision.role), None)
            else:
                self._sign_as(submission, decision)

    def _sign_as(self, submission: Submission, decision: ApprovalDecision) -> None:
        """Separation of duties refuses a signature in a second step, and the reporter's that would complete alone."""
        if self._signs_another_step(submission, decision):
            return
        key = (decision.approver, decision.role)
        before = dict(submission.signatures)
        submission.signatures[key] = decision
        if self._is_complete(submission) and {person for person, _ in submission.signatures} == {submission.reporter}:
            submission.signatures = before

    def _names(self, submission: Submission, decision: ApprovalDecision) -> bool:
        return decision.submission in (None, submission.number) and decision.submission_hash in (None, submission.hash)

    def _may_sign(self, decision: ApprovalDecision) -> bool:
        """The role is in the policy, and the person held it on that day."""
        contract = self.facts.contract
        assert self.policy
        if decision.role not in [step.role for step in self.policy.steps]:
            return False
        day = day_of(decision.decided_at, contract.timezone)
        return any(
            person.id == decision.approver
            and (person.since is None or person.since <= day)
            and (person.until is None or day <= person.until)
            for person in contract.people.get(decision.role, ())
        )

    def _step_is_open(self, submission: Submission, decision: ApprovalDecision) -> bool:
        assert self.policy
        if not self.policy.sequential:
            return True
        place = [step.role for step in self.policy.steps].index(decision.role)
        return all(self._step_is_signed(submission, earlier) for earlier in range(place))

    def _step_is_signed(self, submission: Submission, place: int) -> bool:
        assert self.policy
        step = self.policy.steps[place]
        return len({person for person, role in submission.signatures if role == step.role}) >= step.quorum

    def _signs_another_step(self, submission: Submission, decision: ApprovalDecision) -> bool:
        assert self.policy
        return self.policy.distinct and any(
            person == decision.approver and role != decision.role for person, role in submission.signatures
        )

    # -- acceptance

    def _is_complete(self, submission: Submission) -> bool:
        assert self.policy
        return all(self._step_is_signed(submission, place) for place in range(len(self.policy.steps)))

    def _settle(self, at: int) -> None:
        """A submission that is open and has all its signatures is settled, until one is taken back."""
        submission = self.result.submissions[-1] if self.result.submissions else None
        if submission is None or submission.ended is not None:
            return
        if not self._is_complete(submission):
            submission.settled_at = None
            return
        certified = [
            exact(decision.certified_completion)
            for decision in submission.signatures.values()
            if decision.certified_completion is not None
        ]
        least = reach(self.milestone, min([submission.claim, *certified]))
        if submission.settled_at is None or submission.certified != least:
            submission.settled_at, submission.certified = at, least

    def _accept(self, at: int) -> None:
        """What is settled and not closed becomes accepted when all gates hold; it never takes anything back."""
        if not self._all_hold(self.milestone.depends_on, at):
            return
        claim = self._claim(at)
        for submission in self.result.submissions:
            live = submission.ended in (None, "next") and submission.settled_at is not None
            if live and submission.claim <= claim:
                self.percent = max(self.percent, submission.certified)
                submission.ended, submission.ended_at = "accepted", at
