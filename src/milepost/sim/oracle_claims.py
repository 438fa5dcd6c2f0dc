"""What an independent reading of the rules accepts: per occurrence, how much, since when, under which submission.

Every instant that an event or a date names is visited in order, and what holds then is asked anew each time.
"""

from collections.abc import Iterable
from fractions import Fraction
from itertools import groupby

from milepost.core.contract import (
    Completed,
    DateGate,
    EvidenceGate,
    KpiGate,
    Milestone,
    MilestoneGate,
    RateCard,
    RegulatorGate,
    Success,
)
from milepost.core.events import ApprovalDecision
from milepost.sim.oracle_accepted import Accepted, Level
from milepost.sim.oracle_days import start_of
from milepost.sim.oracle_deadlines import Deadlines
from milepost.sim.oracle_facts import SIGNOFF, Facts, Key, Report, reach
from milepost.sim.oracle_gates import Gates, asks, leaves
from milepost.sim.oracle_prices import Quote, changes_nothing, quoted
from milepost.sim.oracle_terms import Terms, rounded
from milepost.sim.oracle_votes import Content, Submission, Votes, claim_hash

__all__ = ["Walk"]

_NONE, _ALL = Fraction(0), Fraction(100)


class Walk:
    """One occurrence through time."""

    def __init__(self, facts: Facts, terms: Terms, key: Key, deadlines: Deadlines, gates: Gates) -> None:
        self.facts, self.terms, self.key, self.deadlines = facts, terms, key, deadlines
        self.gates = gates
        if not key[0].startswith("@"):
            milestone = terms.ever(key[0])
            gates.reports = [report for report in gates.reports if not changes_nothing(terms, milestone, report)]
        self.votes = Votes(terms, key, deadlines, facts.clock)
        self.decisions = facts.decisions.get(key, [])
        self.percent, self.price, self.grown_at = _NONE, Fraction(0), 0
        self.turn = (0, 0)  # the instant that is looked at, and which of several reports of that time
        self.milestone: Milestone
        self.agreed = False  # whether the version in force has the milestone
        self.billed: object = None  # the period of the value that a success fee was accepted for
        self.result = Accepted()

    def run(self, fee_minor: dict[int, int]) -> Accepted:
        """Visit every instant. `fee_minor`: the fee by the version's place, where it is an amount."""
        self.fee_minor = fee_minor
        for at in sorted(set(self._instants())):
            before = self._billable(at), self.grown_at
            if self.agreed:
                self._end(at)
            milestone = self.terms.milestone_at(self.key[0], at)
            self.agreed = milestone is not None
            if milestone is not None:
                self.milestone = self.gates.milestone = milestone
                self._follow(at)
            for turn, (reports, signs) in enumerate(self._turns(at)):
                self.gates.reports, self.turn = reports, (at, turn)
                if self.percent > 0 or milestone is not None:
                    self._lower(at)
                if milestone is not None:
                    self.gates.milestone = milestone
                    self._raise(at, signs)
            if (self._billable(at), self.grown_at) != before:
                self.result.levels.append(Level(at, self.percent, self.price, self.grown_at))
        live = self._live() if self.agreed else []
        self.result.waiting = [waiting for submission in live for waiting in self.votes.waiting(submission)]
        for submission in self.result.submissions:
            self.result.past += self.votes.past(submission, submission.ended not in (None, "next"))
        return self.result

    def _billable(self, at: int) -> tuple[Fraction, int]:
        """What is accepted, as it would be said."""
        amount = rounded(self.percent * self.price / 100, self.terms.rounding)
        return self.percent, amount if self._is_priced(at) else 0

    def _is_priced(self, at: int) -> bool:
        return isinstance(self.terms.fee_terms(self.key[0], at).fee, Success | RateCard)

    def _live(self) -> list[Submission]:
        return [submission for submission in self.result.submissions if submission.ended in (None, "next")]

    def _end(self, at: int) -> None:
        """A deadline acts at its own instant, on what was before it."""
        for submission in self._live() if at in self.deadlines.instants(self.key) else ():
            if self.votes.time_out(submission, at):
                submission.ended, submission.ended_at, submission.settled_at = "late", at, None
            self._settle(at)
            self._accept(at, at - 1)

    def _follow(self, at: int) -> None:
        """The policy in force; what it leaves without all signatures is settled no more."""
        version = self.terms.at(at)
        since = self.terms.since(self.terms.versions.index(version))
        self.votes.follow(self.terms.policy_at(self.milestone, at), self._live(), since)
        for submission in self._live():
            if submission.ended == "next" and not self.votes.is_complete(submission):
                submission.ended, submission.ended_at, submission.settled_at = "over", at, None

    def _turns(self, at: int) -> list[tuple[list[Report], bool]]:
        """What was reported by the instant: each of several reports of one time has its turn, decisions come after."""
        reports = self.gates.reports
        ends = [place + 1 for place, report in enumerate(reports) if report.at == at]
        return [*((reports[:end], False) for end in ends[:-1]), (reports, True)]

    def _raise(self, at: int, signs: bool) -> None:
        claim, quote = self._claim(at)
        if self.votes.policy is None:
            if quote is not None and self._is_more(claim, quote) and self._may_bill(claim, at):
                self._take(claim, quote, at)
            return
        if quote is not None and self._may_claim(at, quote):
            self._open(at, claim, quote)
        if signs:
            self._sign(at)
        self._settle(at)
        self._accept(at, at)
        self._lower(at)
        self.gates.milestone = self.milestone

    def _may_claim(self, at: int, quote: Quote) -> bool:
        """Whether the version in force has begun, as a tick or a signature said; else only a new fact claims by it."""
        version = self.terms.at(at)
        begun = version is self.terms.first or self._has_come(self.terms.since(self.terms.versions.index(version)))
        facts = [self.gates.since(self.milestone.requires, at), *(value.observed_at for value in quote.values)]
        report = self.gates.report_at(at)
        return begun or at in facts or (report is not None and report.at == at)

    def _instants(self) -> Iterable[int]:
        """Every instant at which something that concerns this occurrence may begin or end."""
        name = self.key[0]
        yield from (report.at for report in self.gates.reports)
        yield from (decision.decided_at for decision in self.decisions)
        over = None if name == SIGNOFF else self.facts.terminated  # what fires after a termination ends nothing
        yield from (at for at in self.deadlines.instants(self.key) if over is None or at <= over)
        yield from (at for at in self.terms.starts() if self._has_come(at))
        for version in self.terms.versions:
            for milestone in version.milestones:
                if milestone.id == name:
                    yield from self._instants_of(milestone)

    def _has_come(self, at: int) -> bool:
        clock, terminated = self.terms.clock, self.facts.terminated
        return clock is not None and at <= clock and (terminated is None or at <= terminated)

    def _instants_of(self, milestone: Milestone) -> Iterable[int]:
        facts = self.facts
        kpis = {milestone.fee.kpi} if isinstance(milestone.fee, Success) else set()
        for gate in leaves(milestone.requires + milestone.depends_on):
            if isinstance(gate, KpiGate):
                kpis.add(gate.id)
            elif isinstance(gate, RegulatorGate):
                yield from (ruling.decided_at for ruling in facts.rulings if ruling.regulator in gate.by)
            elif isinstance(gate, DateGate):
                starts = max(start_of(gate.on, facts.contract.timezone), facts.opens)
                if facts.terminated is None or starts <= facts.terminated:
                    yield starts
            elif isinstance(gate, MilestoneGate):
                yield from self.gates.others.instants(gate.milestone, self.key[1])
        yield from (event.observed_at for event in facts.values if event.kpi_id in kpis)

    # -- the claim

    def _claim(self, at: int) -> tuple[Fraction, Quote | None]:
        """The percentage that `requires` supports, and the price of all of it."""
        return self.gates.percent(self.milestone.requires, at), quoted(self.terms, self.gates, at, self.billed)

    def _is_more(self, claim: Fraction, quote: Quote) -> bool:
        if claim > self.percent:
            return True
        return claim == self.percent > 0 and quote.raises and quote.price > self.price

    def _may_bill(self, claim: Fraction, at: int) -> bool:
        return self.gates.percent(self.milestone.depends_on, at) >= claim

    def _grow(self, percent: Fraction, quote: Quote, at: int) -> None:
        price = quote.price
        if quote.attributes and not quote.raises:  # a report's price applies to what it adds
            price = (self.price * self.percent + price * (percent - self.percent)) / percent
        self.percent, self.price, self.grown_at = percent, price, at
        fee = self.terms.fee_terms(self.key[0], at).fee
        if isinstance(fee, Success) and not fee.to_date:
            self.billed = quote.period
            for submission in self.result.submissions:
                if submission.ended in (None, "next") and submission.quote.period != self.billed:
                    submission.ended, submission.ended_at, submission.settled_at = "report", at, None

    # -- what needs no approval

    def _lower(self, at: int) -> None:
        """A lower report, a regulator's decision below the rung, a lower value or price: credited, and closed.

        All else that changes after an acceptance only flags.
        """
        self.gates.milestone = self.milestone
        gates = self.milestone.requires + self.milestone.depends_on
        corrects = any(report.at == at and report.event.kind != "REPORTED" for report in self.gates.reports)
        reported = self.gates.kept(self.milestone.requires, at) if corrects else _ALL
        for submission in self.result.submissions:
            if submission.ended in (None, "next") and (submission.claim > reported or self._is_below(submission, at)):
                submission.ended, submission.ended_at, submission.settled_at = "report", at, None
        self.percent = min(reported, self.percent)
        if self.percent > 0 and self.gates.fell(gates, at):
            self._reopen()
            self.percent = _NONE
        if self.percent == 0:
            self.billed = None
        quote = quoted(self.terms, self.gates, at, self.billed)
        if quote is not None and quote.price < self.price and (quote.raises or quote.values):
            self.price = quote.price

    def _is_below(self, submission: Submission, at: int) -> bool:
        """Whether what prices says by now that less is due than the submission claims.

        What has all its signatures ends only by a correction of its own: of the report, or of the value's period.
        """
        quote = quoted(self.terms, self.gates, at, self.billed)
        if quote is None:
            return False
        if submission.quote.values:
            own = quoted(self.terms, self.gates, at, submission.quote.period)
            restated = own is not None and own.price < submission.quote.price
            return restated or (submission.settled_at is None and quote.price < submission.quote.price)
        return bool(submission.quote.attributes) and quote.raises and quote.price < submission.quote.price

    def _reopen(self) -> None:
        """What a regulator took away comes back with a later acceptance, under the signatures that it has."""
        last = self.result.submissions[-1:]
        for submission in self.result.submissions:
            if submission.ended == "accepted":
                submission.ended, submission.reopened = None if submission in last else "next", True

    # -- submissions

    def _content(self, at: int, claim: Fraction, quote: Quote) -> Content:
        report = self.gates.report(at)
        hashes = tuple(sorted(item.sha256 for item in report.event.evidence)) if report else ()
        return Content.of(claim, hashes, quote, self.milestone.criteria)

    def _take(self, claim: Fraction, quote: Quote, at: int) -> None:
        """What nobody has to sign is accepted as it is claimed, unless signers left it to the next report before."""
        last = self.result.submissions[-1] if self.result.submissions else None
        if last is not None and last.content == self._content(at, claim, quote):
            if last.ended is not None and not self._again(last, at):
                return
            last.ended, last.ended_at, last.settled_at, last.certified = "accepted", at, at, claim
        self._grow(claim, quote, at)

    def _open(self, at: int, claim: Fraction, quote: Quote) -> None:
        """A claim above what is accepted opens a submission, if it is new."""
        if not self._is_more(claim, quote):
            return
        report, content = self.gates.report(at), self._content(at, claim, quote)
        last = self.result.submissions[-1] if self.result.submissions else None
        if last is not None:
            if last.content == content and not self._again(last, at):
                return
            if last.ended is None and claim < last.claim and at not in self.terms.starts():
                return  # a gate fell that may come back
            if any(s.reopened and s.settled_at and self._covers(s, claim, quote) for s in self._live()):
                return  # signatures still count for as much
            if last.ended is None:
                # Settled: the next one does not supersede it; it only is not the one that unnamed decisions meet.
                last.ended, last.ended_at = "over" if last.settled_at is None else "next", at
        reporter = report.event.reported_by if report else None
        number = len(self.result.submissions) + 1
        named = claim_hash(*self.key, content)
        gross = self._gross(claim, quote, at)
        self.result.submissions.append(Submission(number, at, claim, content, named, reporter, quote, gross))
        self._early(self.result.submissions[-1])

    @staticmethod
    def _covers(submission: Submission, claim: Fraction, quote: Quote) -> bool:
        return claim <= submission.certified and quote.price <= submission.quote.price

    def _gross(self, claim: Fraction, quote: Quote, at: int) -> int:
        """The gross of the occurrence to date with this claim; a sign-off or an amendment has none."""
        if self.key[0].startswith("@"):
            return 0
        whole = self.fee_minor.get(self.terms.governing(self.key[0], at), 1) * quote.price
        return rounded(whole * claim / 100, self.terms.rounding)

    def _again(self, last: Submission, at: int) -> bool:
        """Whether a submission of unchanged content may follow `last`."""
        if last.ended == "rejected":
            return self._claimed_at(at) > (last.ended_at or 0)
        if last.ended == "late":  # what is dated the same comes after the deadline
            return self._claimed_at(at) >= (last.ended_at or 0)
        if last.ended == "report":
            return True
        if last.settled_at is not None and last.certified < last.claim:
            earlier = last.settled_in[0] == at and last.settled_in < self.turn  # by a report of the same time
            return earlier or self._claimed_at(at) > last.settled_at
        return last.ended == "accepted" and (self.percent < last.certified or self.price < last.quote.price)

    def _claimed_at(self, at: int) -> int:
        """The time of the report in force, or where no report is asked for, also of what closed `requires`."""
        report = self.gates.report(at)
        reported_at = report.at if report else 0
        if asks(self.milestone.requires, Completed, EvidenceGate):
            return reported_at
        return max(reported_at, self.gates.since(self.milestone.requires, at))

    # -- signatures

    def _early(self, opened: Submission) -> None:
        """What was decided before and waits counts from the opening, in the order of the dates.

        Unnamed decisions wait for the first submission; one that names a submission waits for that one.
        """
        below = [report.at for report in self.gates.reports if self._is_too_little(report)]
        early: list[ApprovalDecision] = []
        for decision in self.decisions:
            if decision.decided_at >= opened.at:
                continue
            if decision.submission is not None or decision.submission_hash is not None:
                waits = self._waited_for(opened, decision)
            else:
                waits = opened.number == 1 and not any(at <= decision.decided_at for at in below)
            early += [decision] * waits
        early.sort(key=lambda decision: decision.decided_at)
        for _, group in groupby(early, key=lambda decision: decision.decided_at):
            self.votes.apply(opened, list(group), opened.at)

    def _is_too_little(self, report: Report) -> bool:
        """Whether a report was below the next tier, by the terms of its time."""
        milestone = self.terms.milestone_at(self.key[0], report.at) or self.milestone
        return asks(milestone.requires, Completed) and reach(milestone, report.completion) == 0

    def _waited_for(self, opened: Submission, decision: ApprovalDecision) -> bool:
        """Whether a decision named this submission before there was one that it could have meant."""
        before = [s for s in self.result.submissions if s.number < opened.number]
        return self.votes.names(opened, decision) and not any(self.votes.names(s, decision) for s in before)

    def _current(self) -> Submission | None:
        last = self.result.submissions[-1] if self.result.submissions else None
        return last if last is not None and last.ended is None else None

    def _sign(self, at: int) -> None:
        """The decisions dated now meet the submission that is open now."""
        current = self._current()
        if current is not None:
            dated = [d for d in self.decisions if d.decided_at == at]
            self.votes.apply(current, dated, at)

    # -- acceptance

    def _settle(self, at: int) -> None:
        """A submission that is open and has all its signatures is settled, until one is taken back."""
        submission = self._current()
        if submission is None:
            return
        if not self.votes.is_complete(submission):
            submission.settled_at = None
            return
        certified = [
            Fraction(signature.decision.certified_completion)
            for signature in submission.counted().values()
            if signature.decision.certified_completion is not None
        ]
        least = reach(self.milestone, min([submission.claim, *certified]))
        if submission.settled_at is None or submission.certified != least:
            submission.settled_at, submission.settled_in, submission.certified = at, self.turn, least

    def _accept(self, at: int, seen: int) -> None:
        """What is settled and not closed becomes accepted when all gates hold; it never takes anything back.

        `seen`: the instant of what is in force then.
        """
        claim, quote = self._claim(seen)
        if quote is None:
            return
        claims = list(self.result.submissions)
        fee = self.terms.fee_terms(self.key[0], at).fee
        if isinstance(fee, Success) and not fee.to_date:
            claims.reverse()  # the newest value is the one that is in force
        for submission in claims:
            live = submission.ended in (None, "next") and submission.settled_at is not None
            if not live or submission.claim > claim or not self._may_bill(submission.claim, seen):
                continue
            submission.ended, submission.ended_at = "accepted", at
            if self._is_more(submission.certified, submission.quote):
                self._grow(submission.certified, submission.quote, at)
