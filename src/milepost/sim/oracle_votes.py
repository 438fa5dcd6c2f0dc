"""Who signed a submission, in which step, and whether that is enough (rules 13 to 17)."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from milepost.core.contract import Policy, Step
from milepost.core.events import ApprovalDecision, KpiEvent
from milepost.sim.oracle_days import day_of, instant_text
from milepost.sim.oracle_deadlines import Deadlines, Request, Waiting
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


class Signature(NamedTuple):
    """A decision that counts, since when, and the steps that it may fill: the one of its own role first."""

    decision: ApprovalDecision
    since: int
    places: tuple[int, ...]


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
    signatures: dict[tuple[str, str], "Signature"] = field(default_factory=dict)
    asked_for: dict[int, int] = field(default_factory=dict)  # steps that an amendment put in their place, since when
    gone: list[Request] = field(default_factory=list)  # of steps that an amendment took away
    escalated: dict[int, list[int]] = field(default_factory=dict)  # by which ticks
    deemed: dict[int, int] = field(default_factory=dict)  # since when silence stands for signatures
    answered: set[int] = field(default_factory=set)  # whose deadline passed after they were signed: it has no effect
    settled_at: int | None = None
    settled_in: tuple[int, int] = (0, 0)  # the instant, and the turn of it
    ended: str | None = None
    ended_at: int | None = None
    certified: Fraction = _NONE
    reopened: bool = False  # by a regulator that took back what was accepted

    def counted(self) -> dict[tuple[str, str], "Signature"]:
        """The signatures that a step of the policy in force has a use for."""
        return {named: signature for named, signature in self.signatures.items() if signature.places}


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

    def __init__(self, terms: Terms, key: Key, deadlines: Deadlines, clock: int | None) -> None:
        self.terms, self.key, self.deadlines, self.clock = terms, key, deadlines, clock
        self.policy: Policy | None = None

    # -- steps

    def step(self, place: int) -> Step:
        """The step at a place of the policy."""
        assert self.policy
        return self.policy.steps[place]

    def places(self, submission: Submission) -> list[int]:
        """Where the steps are that exist for this submission's amount (rule 17)."""
        least = [step.amount_at_least_minor for step in self.policy.steps] if self.policy else []
        return [place for place, amount in enumerate(least) if amount is None or submission.gross_minor >= amount]

    def roles(self, submission: Submission, place: int) -> list[str]:
        """Who may sign a step by now: its role, and those that it was escalated to."""
        step, times = self.step(place), len(submission.escalated.get(place, ()))
        return [step.role, *(escalation.role for escalation in step.escalations[:times])]

    def follow(self, policy: Policy | None, submissions: Iterable[Submission], at: int) -> None:
        """From `at` on signatures are asked for as another version says; a step that stays as it is goes on."""
        before, self.policy = self.policy.steps if self.policy else (), policy
        now = policy.steps if policy else ()
        if before == now:
            return
        for submission in submissions:
            same = {place for place, step in enumerate(now[: len(before)]) if step == before[place]}
            for place in set(range(max(len(before), len(now)))) - same:
                if place < len(before):
                    submission.gone.append(self.request(submission, place))
                submission.escalated.pop(place, None)
                submission.deemed.pop(place, None)
                submission.answered.discard(place)
                submission.asked_for[place] = at
            for named, signature in submission.signatures.items():
                fresh = self._proved(signature.decision, self._of_role(submission, signature.decision))
                places = [*(p for p in fresh if p not in same), *(p for p in signature.places if p in same)]
                submission.signatures[named] = signature._replace(places=self._own_first(signature.decision, places))
            if self.is_complete(submission) and self._is_alone(submission):
                submission.signatures.clear()

    def granted(self, submission: Submission) -> dict[int, int | None]:
        """Since when each step is signed, or silence stands for it: in sequential order after those before it."""
        assert self.policy
        filled, found, before = self._filled(submission), dict[int, int | None](), submission.at
        for place in self.places(submission):
            since = submission.deemed.get(place, filled.get(place))
            if self.policy.sequential:
                since = max(since, before) if since is not None and None not in found.values() else None
                before = before if since is None else since
            found[place] = since
        return found

    def _filled(self, submission: Submission) -> dict[int, int]:
        """Since when enough different people signed each step; with `distinct` nobody fills two.

        A signature goes to the step that it is meant for, unless another one needs it more.
        """
        assert self.policy
        signatures = sorted(submission.signatures.values(), key=lambda signature: signature.since)
        quorum = {place: self.step(place).quorum for place in self.places(submission)}
        if not self.policy.distinct:
            own = {place: [s.since for s in signatures if place in s.places] for place in quorum}
            return {place: own[place][most - 1] for place, most in quorum.items() if len(own[place]) >= most}
        counts, since = dict.fromkeys(quorum, 0), dict[int, int]()
        for number, signature in enumerate(signatures, 1):
            for place in dict.fromkeys((*signature.places, *quorum)):
                more = {**counts, place: counts.get(place, 0) + 1}
                if more[place] <= quorum.get(place, 0) and _seated(signatures[:number], more):
                    counts = more
                    if counts[place] == quorum[place]:
                        since[place] = signature.since
                    break
        return since

    def is_complete(self, submission: Submission) -> bool:
        """Whether every step is signed."""
        return self.policy is None or None not in self.granted(submission).values()

    def opened_at(self, submission: Submission, place: int) -> int | None:
        """Since when a step may be signed: in sequential order when all before it are; None if not yet."""
        assert self.policy
        before = [since for other, since in self.granted(submission).items() if other < place]
        if not self.policy.sequential or not before:
            return submission.at
        return before[-1]

    # -- deadlines

    def request(self, submission: Submission, place: int) -> Request:
        """What tells the request of a step from all others."""
        asked_for = submission.asked_for.get(place, submission.at)
        since = asked_for if place in submission.asked_for else 0
        return Request(self.key, submission.number, submission.content, place, since)

    def due(self, submission: Submission, place: int) -> int | None:
        """When the stage that a step is at is over."""
        step, ticks = self.step(place), submission.escalated.get(place, [])
        within = step.escalations[len(ticks) - 1].within if ticks else step.within
        opened_at, request = self.opened_at(submission, place), self.request(submission, place)
        if within is None or opened_at is None:
            return None
        fired = [] if place in submission.answered else self.deadlines.fired(request)
        if len(ticks) < len(fired):
            return fired[len(ticks)].deadline
        since = ticks[-1] if ticks else self.deadlines.starts(request, opened_at, self.clock)
        return self.deadlines.after(since, within)

    def time_out(self, submission: Submission, at: int) -> bool:
        """Whether the submission ends by what ticks fired; what silence accepts and whom it asks is noted.

        A deadline of a step that was signed by then, was not open then, or has no consequence, has no effect.
        """
        for place in range(len(self.policy.steps) if self.policy else 0):
            step, fired = self.step(place), self.deadlines.fired(self.request(submission, place))
            ticks = submission.escalated.setdefault(place, [])
            for stage in fired[len(ticks) :]:
                ends = len(ticks) == len(step.escalations)
                if (stage.deadline if ends else stage.tick) > at or submission.answered & {place}:
                    break
                opened_at = self.opened_at(submission, place)
                open_then = opened_at is not None and opened_at <= stage.deadline
                idle = ends and step.on_timeout is None  # an amendment left it without a consequence
                if idle or self.granted(submission).get(place, 0) is not None or not open_then:
                    submission.answered.add(place)
                elif not ends:
                    ticks.append(stage.tick)
                elif step.on_timeout == "accept":
                    submission.deemed[place] = stage.deadline
                else:
                    return True
        return False

    def past(self, submission: Submission, over: bool) -> list[Request]:
        """The requests that nobody will be asked (any more): of steps that were taken away, all of what is over."""
        places = range(len(self.policy.steps)) if over and self.policy else ()
        return [*submission.gone, *(self.request(submission, place) for place in places)]

    def waiting(self, submission: Submission) -> list[Waiting]:
        """The steps that are open and not signed, when everything has happened."""
        if self.policy is None:
            return []
        missing = [place for place, since in self.granted(submission).items() if since is None]
        return [self._waiting(submission, place) for place in (missing[:1] if self.policy.sequential else missing)]

    def _waiting(self, submission: Submission, place: int) -> Waiting:
        step, stage, due = self.step(place), len(submission.escalated.get(place, ())), self.due(submission, place)
        fires_at = due
        if stage == len(step.escalations):
            graced = due if due is None or step.on_timeout != "accept" else self.deadlines.graced(due, step)
            fires_at = None if step.on_timeout is None else graced
        return Waiting(self.request(submission, place), stage, due, fires_at)

    def _too_late(self, submission: Submission, place: int, at: int) -> bool:
        """Whether the last deadline of a step has passed; one that was signed in time has none."""
        step = self.step(place)
        ends = len(submission.escalated.get(place, ())) == len(step.escalations) and step.on_timeout is not None
        due = submission.deemed.get(place)
        if ends and self.granted(submission)[place] is None:
            due = self.due(submission, place)
        return due is not None and due <= at

    # -- decisions

    def apply(self, submission: Submission, decisions: Iterable[ApprovalDecision], at: int) -> None:
        """Decisions of one date in the order of arrival; a step that opens at this date still meets them."""
        waiting = [d for d in decisions if self.names(submission, d)]
        while waiting and submission.ended is None:
            decision = next((d for d in waiting if self._is_open(submission, d, at)), None)
            if decision is None:
                return
            waiting.remove(decision)
            places = [p for p in self._of_role(submission, decision) if not self._too_late(submission, p, at)]
            if not places or not self._holds_role(decision):
                continue
            if decision.decision == "REJECTED":
                submission.ended, submission.ended_at, submission.settled_at = "rejected", at, None
            elif decision.decision == "WITHDRAWN":
                submission.signatures.pop((decision.approver, decision.role), None)
            else:
                self._sign(submission, decision, self._proved(decision, places), at)

    def _sign(self, submission: Submission, decision: ApprovalDecision, places: Sequence[int], at: int) -> None:
        """Separation of duties refuses a signature in a second step, and the reporter's that would complete alone."""
        assert self.policy
        if not places:
            return
        if self.policy.distinct:
            others = [role for person, role in submission.counted() if person == decision.approver]
            if any(role != decision.role for role in others):
                return
            opened = {place: self.opened_at(submission, place) for place in places}
            places = [place for place, since in opened.items() if since is not None and since <= at]
        named, before = (decision.approver, decision.role), dict(submission.signatures)
        known = before.get(named)
        since = known.since if known is not None and set(places) <= set(known.places) else at
        submission.signatures[named] = Signature(decision, since, self._own_first(decision, places))
        if self._is_alone(submission) and self.is_complete(submission):
            submission.signatures = before

    def _is_alone(self, submission: Submission) -> bool:
        """Whether whoever reported is the only one who signed."""
        return {person for person, _ in submission.counted()} == {submission.reporter} and not submission.deemed

    def names(self, submission: Submission, decision: ApprovalDecision) -> bool:
        """Whether the decision is for this submission, or names none."""
        return decision.submission in (None, submission.number) and decision.submission_hash in (None, submission.hash)

    def _of_role(self, submission: Submission, decision: ApprovalDecision) -> list[int]:
        """The steps that the decision's role may sign by now."""
        return [place for place in self.places(submission) if decision.role in self.roles(submission, place)]

    def _own_first(self, decision: ApprovalDecision, places: Sequence[int]) -> tuple[int, ...]:
        own = [place for place in sorted(places) if self.step(place).role == decision.role]
        return (*own, *(place for place in sorted(places) if place not in own))

    def _is_open(self, submission: Submission, decision: ApprovalDecision, at: int) -> bool:
        opened = [self.opened_at(submission, place) for place in self._of_role(submission, decision)]
        return any(since is not None and since <= at for since in opened)

    def _proved(self, decision: ApprovalDecision, places: Sequence[int]) -> list[int]:
        """The steps that the decision carries the evidence for."""
        names = {item.name for item in decision.evidence}
        return [place for place in places if names.issuperset(self.step(place).evidence)]

    def _holds_role(self, decision: ApprovalDecision) -> bool:
        """Whether the person was named for the role on the day of the decision."""
        day = day_of(decision.decided_at, self.terms.zone)
        return any(
            person.id == decision.approver
            and (person.since is None or person.since <= day)
            and (person.until is None or day <= person.until)
            for person in self.terms.people_at(decision.role, decision.decided_at)
        )


def _seated(signatures: Sequence[Signature], counts: dict[int, int]) -> bool:
    """Whether different signatures can fill so many seats of each step."""
    place = next((place for place, count in counts.items() if count), None)
    if place is None:
        return True
    left = {**counts, place: counts[place] - 1}
    return any(
        place in signature.places and _seated([*signatures[:number], *signatures[number + 1 :]], left)
        for number, signature in enumerate(signatures)
    )
