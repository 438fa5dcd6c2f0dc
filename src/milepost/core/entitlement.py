"""Facts of one milestone occurrence -> what is accepted, since when (rules 7, 10 to 15, 18).

A pure function over dated facts: it walks once over the instants that they name and keeps the submissions, their
signatures and what is accepted. So it makes no difference when, or how often, something arrives.

At one instant come first deadlines, then an amendment's beginning, the report, the submission that it opens, decisions
in the order of arrival, acceptance; of several reports those before the last are accepted, too, where nobody signs.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import chain, groupby

from milepost.core import money
from milepost.core.calendar import END_OF_TIME
from milepost.core.claims import (
    CORRECTED,
    REJECTED,
    SUPERSEDED,
    TIMED_OUT,
    Assessment,
    Regime,
    Submission,
    content_hash,
    reached,
)
from milepost.core.contract import Completed, EvidenceGate, Milestone, Policy
from milepost.core.facts import Decision, Report
from milepost.core.gates import Condition, begins, falls, fell, leaves, musts, starts, true_at
from milepost.core.pricing import NO_BASIS, Basis, Pricing
from milepost.core.rules.approvals import COUNTED, NOT_OPEN, OUTSIDE_WINDOW, Ballot, signers
from milepost.core.rules.deadlines import Clock

__all__ = ["STALE_SUBMISSION", "WAITING", "assess"]

STALE_SUBMISSION = "STALE_SUBMISSION"
WAITING = "WAITING"  # a signature that overtook the trigger

_WHOLE = Decimal(100)
_NOTHING = Decimal(0)


class _Walk:
    """One pass over the instants of an occurrence."""

    def __init__(
        self,
        milestone: Milestone,
        policy: Policy,
        occurrence: str | None,
        holds_role: Callable[[str, str, int], bool],
        requires: Condition,
        depends: Condition,
        pricing: Pricing,
        clock: Clock,
    ) -> None:
        self.milestone = milestone
        self.clock = clock
        self.pricing = pricing
        self.policy = policy
        self.later: list[Regime] = []
        self.occurrence = occurrence
        self.holds_role = holds_role
        self.requires = requires
        self.depends = depends
        self.define(milestone)
        self.report: Report | None = None
        self.early: list[tuple[int, Decision]] = []
        self.waits_no_more = False  # for the first submission: a report below the next tier came, or it was dropped
        self.eased: Submission | None = None  # has all signatures since now, because a policy asks for fewer
        self.found = Assessment()

    def define(self, milestone: Milestone) -> None:
        """What the milestone is from now on."""
        self.milestone = milestone
        own = [gate for gate in leaves(milestone.requires) if isinstance(gate, Completed | EvidenceGate)]
        needed = [gate for gate in musts(milestone.requires) if isinstance(gate, Completed | EvidenceGate)]
        self.measured = any(isinstance(gate, Completed) for gate in own)  # by completion, if only as an alternative
        self.reported = any(isinstance(gate, Completed) for gate in needed)
        self.driven = bool(needed)  # by reports
        self.alternative = len(own) > len(needed)  # what a report brings is one of several ways

    def follow(self, at: int) -> None:
        """Go on under the terms that are in force at the instant; what is signed stays signed."""
        self.eased = None
        while self.later and self.later[0].since <= at:
            regime = self.later.pop(0)
            self.define(regime.milestone)
            if regime.over:
                self.waits_no_more = True
                for submission in self.found.submissions:
                    if submission.alive:
                        submission.close(SUPERSEDED, at)
            if regime.policy != self.policy:
                self.policy = regime.policy
                for submission in self.found.submissions:
                    if submission.alive:
                        signed = submission.ballot.complete
                        submission.ballot.govern(regime.policy, regime.since)
                        if submission.ballot.complete and not signed:
                            self.eased = submission
                        if not submission.ballot.complete and submission is not self.found.submissions[-1]:
                            submission.close(SUPERSEDED, at)

    def required(self, level: Decimal, at: int) -> bool:
        """Whether all of `requires` holds at the instant for a claim of `level` percent."""
        return true_at(self.requires, at, self.report, level)

    def claimed(self, report: Report | None, at: int) -> Decimal:
        """What the report reaches; what asks for no completion, or has another way that holds, is claimed whole."""
        withdrawn = report is not None and report.kind == "WITHDRAWN"
        if self.alternative and true_at(self.requires, at, None if withdrawn else report, _WHOLE):
            return _WHOLE
        if withdrawn and (self.driven or self.alternative):
            return _NOTHING
        if not self.measured:
            return _WHOLE
        return reached(self.milestone, money.percent(report.completion)) if report else _NOTHING

    def priced(self, report: Report) -> bool:
        """Whether a report takes effect: what claims something needs a price (rule 20)."""
        return self.claimed(report, report.at) == _NOTHING or self.pricing.rated(report)

    def take_report(self, report: Report, at: int) -> None:
        """Put a report in force; one that claims less than what is open or accepted corrects it."""
        self.report = report
        if not (self.driven or self.alternative):
            return
        level = self.claimed(self.report, at)
        if self.measured and level == _NOTHING and not self.found.submissions:
            self.waits_no_more = True
        if not self.driven and report.kind == "REPORTED":
            return  # it takes nothing away from what holds in another way
        completion = money.percent(report.completion) if self.reported else level
        for submission in self.found.submissions:
            if submission.alive and submission.level > completion:
                submission.close(CORRECTED, at)
        if level < self.found.level:
            self.found.governing = None
            basis = self.found.basis if level > 0 else NO_BASIS
            self.found.accept(at, level, basis, self.pricing.amount(level, basis, self.found.governed_at or at))

    def exceeds(self, level: Decimal, basis: Basis, gross: int) -> bool:
        """Whether this is more than what is accepted: a higher level, or other facts that give a higher amount."""
        found = self.found
        return level > found.level or (level == found.level and basis != found.basis and gross > found.gross)

    def restate(self, at: int) -> None:
        """Bring what is claimed or accepted down to facts that price it lower; what prices it higher is claimed."""
        found = self.found
        if not self.pricing.follows_facts:
            return
        for submission in found.submissions:
            if not submission.alive:
                continue
            basis = self.pricing.restated(at, self.report, submission.level, found.level, found.basis)
            lapsed = found.level > 0 and self.pricing.lapsed(submission.basis, found.basis)
            if lapsed or (basis is not None and self.undercut(submission, basis, at)):
                submission.close(CORRECTED, at)
        if found.level == _NOTHING:
            return
        basis = self.pricing.restated(at, self.report, found.level, found.level, found.basis)
        if basis is None or basis == found.basis:
            return
        gross = self.pricing.amount(found.level, basis, found.governed_at or at)
        if gross < found.gross:
            if found.governing is not None and found.governing.accepted_at != at:
                found.governing = None
            found.accept(at, found.level, basis, gross)

    @property
    def unsigned(self) -> bool:
        """Whether a claim is what the facts say, and nobody's signature: then the newest facts price it."""
        return self.pricing.follows_facts and not self.policy.steps

    def undercut(self, submission: Submission, basis: Basis, at: int) -> bool:
        """Whether a claim is worth less by this basis, both by the terms in force now, and ends by that."""
        amount, level = self.pricing.amount, submission.level
        if basis == submission.basis or amount(level, basis, at) >= amount(level, submission.basis, at):
            return False
        return self.unsigned or not submission.ballot.complete or self.pricing.corrects(basis, submission.basis)

    def open(self, at: int, again: bool) -> None:
        """Open the next submission if there is something new to sign (rule 13).

        `again`: something is dated now that may claim unchanged content once more.
        """
        level, found, pricing = self.claimed(self.report, at), self.found, self.pricing
        if level < found.level or level == _NOTHING or (level <= self.lapsed() and not pricing.follows_facts):
            return
        basis = pricing.claimed(at, self.report, level, found.level, found.basis)
        if basis is None:
            return
        gross = pricing.amount(level, basis, at)
        if not self.exceeds(level, basis, gross) or not self.required(level, at):
            return
        priced = pricing.attributes(basis), pricing.values(basis)
        content = content_hash(self.milestone, self.occurrence, level, self.report, *priced)
        last = self.found.submissions[-1] if self.found.submissions else None
        if last is not None and content == last.content:
            # unchanged content: after a correction always, else with the next report (or, without reports, value); also
            # where it was accepted, and its facts, lower since, are back
            whole = self.certified(last) >= last.level
            if last.alive and (whole or not last.ballot.complete):
                return
            again = again and not (last.end == REJECTED and last.ended_at == at)  # of one time the report comes first
            if last.end != CORRECTED and not again and (last.accepted_at is None or not whole):
                return
        if last is not None and last.alive and (self.unsigned or not last.ballot.complete or last is self.eased):
            last.close(SUPERSEDED, at)
        reporter = self.report.reported_by if self.report and self.report.kind != "WITHDRAWN" else None
        number = len(self.found.submissions) + 1
        ballot = Ballot(self.policy, at, reporter, self.holds_role, self.clock, (number, content), gross)
        submission = Submission(number, at, level, self.report, ballot)
        submission.content, submission.basis, submission.gross = content, basis, gross
        submission.criteria = self.milestone.criteria
        self.found.submissions.append(submission)
        early, self.early = self.early, []
        for _, decided in groupby(early, key=lambda item: item[1].at):
            self.decide_all(list(decided), at)

    def time_out(self, at: int) -> None:
        """End or settle submissions by deadlines that have fired (rule 16)."""
        for submission in self.found.submissions:
            if submission.alive and submission.ballot.time_out(at):
                submission.close(TIMED_OUT, at)

    def decide_all(self, decided: list[tuple[int, Decision]], at: int) -> None:
        """Give decisions of one date to their submissions, in the order of arrival.

        In sequential order a step opens with the last signature of the one before it, and what is dated the same is
        not before that: it counts although it arrived first.
        """
        while decided:
            place, decision = decided.pop(next((i for i, d in enumerate(decided) if self.reaches(d[1], at)), 0))
            self.decide(place, decision, at)

    def reaches(self, decision: Decision, at: int) -> bool:
        """Whether no earlier step keeps the decision from counting now."""
        submission = self.addressed(decision)
        return isinstance(submission, str) or submission.ballot.reaches(decision, at)

    def decide(self, place: int, decision: Decision, at: int) -> None:
        """Give a decision to the submission that it is for, and say what became of it (rule 14)."""
        submission = self.addressed(decision)
        if isinstance(submission, str):
            claims = self.found.submissions
            if submission == NOT_OPEN and claims and claims[-1].ballot.late(decision, at):
                submission = OUTSIDE_WINDOW
            self.found.outcomes[place] = submission
            if submission == WAITING:
                self.early.append((place, decision))
                if decision.submission is None and decision.submission_hash is not None and self.found.submissions:
                    # another hash than the claim's; kept, for it counts should a later submission have it
                    self.found.outcomes[place] = STALE_SUBMISSION
            return
        outcome = self.found.outcomes[place] = submission.ballot.decide(decision, at)
        if outcome == COUNTED and decision.decision == "REJECTED":
            submission.close(REJECTED, at)

    def addressed(self, decision: Decision) -> Submission | str:
        """The submission that a decision counts for now; else STALE_SUBMISSION, NOT_OPEN, or WAITING."""
        submissions = self.found.submissions
        last = submissions[-1] if submissions else None
        if decision.submission is not None or decision.submission_hash is not None:
            named = [
                s
                for s in submissions
                if decision.submission in (None, s.number) and decision.submission_hash in (None, s.content)
            ]
            if last is not None and last in named:
                return last if last.alive else NOT_OPEN
            ahead = decision.submission is None or decision.submission > len(submissions)
            # a hash that nothing had yet may be of a submission still to come
            return WAITING if ahead and not named else STALE_SUBMISSION
        if last is not None:
            return last if last.alive else NOT_OPEN
        return NOT_OPEN if self.waits_no_more else WAITING

    def certified(self, submission: Submission) -> Decimal:
        """What can bill of what a submission's signers certify."""
        least = submission.ballot.certified
        return reached(self.milestone, submission.level if least is None else min(submission.level, least))

    def lapse(self, at: int) -> None:
        """Take back what is accepted if a regulator's gate fell (rule 11); the signatures still count for it."""
        level = self.found.level
        if level == _NOTHING or not any(
            fell(condition, at, self.report, level) for condition in (self.requires, self.depends)
        ):
            return
        for submission in self.found.submissions:
            if submission.accepted_at is not None:
                submission.accepted_at = None
                submission.ceiling = level if submission.ceiling is None else min(level, submission.ceiling)
                if submission.level >= level:
                    submission.basis = self.found.basis
        self.found.governing = None
        self.found.accept(at, _NOTHING, NO_BASIS, 0)

    def lapsed(self) -> Decimal:
        """What was accepted, lapsed, is certified still, and needs no new signature to be accepted again."""
        alive = [s for s in self.found.submissions if s.alive]
        return max((min(s.ceiling, self.certified(s)) for s in alive if s.ceiling is not None), default=_NOTHING)

    def accept(self, at: int, seen: int) -> None:
        """Accept every settled submission whose gates hold (rule 10), by what is in force at the instant `seen`."""
        found = self.found
        for submission in found.submissions[:: -1 if self.pricing.newest_first(at) else 1]:
            claimed = submission.level if submission.ceiling is None else submission.ceiling
            if (
                submission.alive
                and submission.ballot.complete
                and true_at(self.depends, seen, self.report, claimed)
                and self.required(claimed, seen)
                and self.pricing.claimed(seen, self.report, claimed, found.level, found.basis) is not None
                and not (found.level > _NOTHING and self.pricing.lapsed(submission.basis, found.basis))
            ):
                submission.accepted_at = at
                level = min(self.certified(submission), claimed)
                gross = self.pricing.amount(level, submission.basis, at)
                if self.exceeds(level, submission.basis, gross):
                    found.governing, found.governed_at = submission, at
                    found.accept(at, level, submission.basis, gross)

    def conclude(self, at: int, last: Report | None) -> Assessment:
        """What was found, once the last instant is over; `last` is the last report, priced or not."""
        found, pricing = self.found, self.pricing
        for place, decision in self.early:
            if decision.role not in signers(self.policy):
                found.outcomes[place] = NOT_OPEN
        basis = pricing.claimed(at, self.report, _WHOLE, found.level, found.basis)
        if self.claimed(last, min(at, END_OF_TIME - 1)) > 0:
            found.unpriced = basis is None or not (last is None or self.priced(last))
        found.whole = found.claimed if found.unpriced or basis is None else pricing.amount(_WHOLE, basis, at)
        return found


def assess(
    milestone: Milestone,
    policy: Policy,
    occurrence: str | None,
    holds_role: Callable[[str, str, int], bool],
    requires: Condition,
    depends: Condition,
    reports: Sequence[Report],
    decisions: Sequence[Decision],
    pricing: Pricing,
    clock: Clock,
    until: int,
    later: Sequence[Regime] = (),
) -> Assessment:
    """Walk over the facts of an occurrence up to the instant `until`, included.

    `requires` and `depends` are the gates, resolved; `reports` are in the order in which they took
    effect, `decisions` in the order of arrival. `later` is what amendments make of milestone and policy.
    """
    walk = _Walk(milestone, policy, occurrence, holds_role, requires, depends, pricing, clock)
    walk.later = list(later)
    dated: dict[int, tuple[list[Report], list[tuple[int, Decision]]]] = {}
    for report in reports:
        if walk.priced(report):
            dated.setdefault(report.at, ([], []))[0].append(report)
    for place, decision in enumerate(decisions):
        dated.setdefault(decision.at, ([], []))[1].append((place, decision))
    closings, begun = set(starts(requires)), set(begins(requires))
    fallen = set(falls(requires)).union(falls(depends))
    fired = {at for timer in clock.timers.values() for at in chain.from_iterable(timer.fired)}
    for since in closings.union(begun, starts(depends), begins(depends), fallen, pricing.instants, fired):
        dated.setdefault(since, ([], []))
    for at in sorted(dated):
        if at > until:
            break
        reported, decided = dated[at]
        walk.time_out(at)
        if at in fired:
            walk.accept(at, at - 1)  # what is deemed, by what is in force until then
        walk.follow(at)
        for report in reported[:-1]:
            # of several of one time each has its turn: what one of them claimed, the next does not rewrite
            walk.take_report(report, at)
            walk.restate(at)
            walk.open(at, report.kind != "WITHDRAWN")
            walk.accept(at, at)
        if reported:
            walk.take_report(reported[-1], at)
        walk.restate(at)
        if at in fallen:
            walk.lapse(at)
        if reported or at in begun or at in closings or at in pricing.instants:
            claims = bool(reported) and reported[-1].kind != "WITHDRAWN"
            walk.open(at, claims or (at in closings and not (walk.driven or walk.alternative)))
        walk.decide_all(decided, at)
        walk.accept(at, at)
        walk.restate(at)
    for place, decision in enumerate(decisions):
        if decision.at > until:
            walk.found.outcomes[place] = NOT_OPEN
    return walk.conclude(until, next((report for report in reversed(reports) if report.at <= until), None))
