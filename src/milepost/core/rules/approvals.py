"""Signatures on one submission: quorum, order, separation of duties, deadlines (rules 13 to 17).

A ballot takes decisions in the order of their times and says of each whether it counts. It knows nothing of gates and
money; when a ballot is complete, the submission is settled.
"""

from collections.abc import Callable
from decimal import Decimal

from milepost.core import money
from milepost.core.contract import Policy, Step
from milepost.core.facts import Decision
from milepost.core.rules.deadlines import Clock
from milepost.core.rules.quorums import filled

__all__ = [
    "COUNTED",
    "EVIDENCE_MISSING",
    "NOT_IN_ROLE",
    "NOT_OPEN",
    "OUTSIDE_WINDOW",
    "SEPARATION_OF_DUTIES",
    "Ballot",
    "signers",
]

COUNTED = "COUNTED"
EVIDENCE_MISSING = "EVIDENCE_MISSING"
NOT_OPEN = "NOT_OPEN"
NOT_IN_ROLE = "NOT_IN_ROLE"
OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
SEPARATION_OF_DUTIES = "SEPARATION_OF_DUTIES"


def signers(policy: Policy) -> set[str]:
    """Every role that may come to sign: of the steps, and of their escalations."""
    return {role for step in policy.steps for role in (step.role, *(e.role for e in step.escalations))}


def _existing(policy: Policy, gross: int) -> list[bool]:
    """Which steps there are for that gross to date (rule 17)."""
    return [step.amount_at_least_minor is None or gross >= step.amount_at_least_minor for step in policy.steps]


class _Stand:
    """How far the deadlines of one step have come."""

    __slots__ = ("asked_at", "deemed_at", "deemed_by", "escalated", "expired_at", "key", "void")

    def __init__(self, key: str, asked_at: int) -> None:
        self.key = key  # of its request's timer
        self.asked_at = asked_at  # the submission's time, or since when an amendment asks for the step
        self.escalated: list[int] = []  # since when each escalation's role may sign it, too
        self.deemed_at: int | None = None
        self.deemed_by: int | None = None  # the tick
        self.expired_at: int | None = None
        self.void = False  # what fired was answered in time: it never happened


class Ballot:
    """The signatures of one submission; `granted` has for every step since when it has its quorum, or None.

    `named` is the submission's number and hash, which a step's timer goes by; `gross` is to date in minor units, this
    submission included: it decides which steps there are.
    """

    __slots__ = (
        "_clock",
        "_fits",
        "_given",
        "_gone",
        "_gross",
        "_holds_role",
        "_opened_at",
        "_policy",
        "_reporter",
        "_stands",
        "_submission",
        "exists",
        "granted",
        "rejected_step",
        "unproved",
    )

    def __init__(
        self,
        policy: Policy,
        opened_at: int,
        reporter: str | None,
        holds_role: Callable[[str, str, int], bool],
        clock: Clock,
        named: tuple[int, str],
        gross: int,
    ) -> None:
        self._policy = policy
        self._opened_at = opened_at
        self._reporter = reporter
        self._holds_role = holds_role
        self._clock = clock
        self._submission = named
        self._gross = gross
        self._gone: list[str] = []  # the keys of steps that amendments replaced
        self._stands = [_Stand(self._named(i), opened_at) for i in range(len(policy.steps))]
        self.exists = _existing(policy, gross)
        self._given: dict[tuple[str, str], tuple[int, Decision]] = {}  # (person, role) -> (counts from, decision)
        self._fits: dict[tuple[str, str], list[int]] = {}  # the steps that a signature is good for, its own first
        self.granted: list[int | None] = [None] * len(policy.steps)
        self.rejected_step: int | None = None
        self.unproved: set[tuple[str, str]] = set()  # who signed, in which role, without the evidence that is asked for

    @property
    def policy(self) -> Policy:
        """What it is held under."""
        return self._policy

    @property
    def signatures(self) -> dict[tuple[str, str], tuple[int, Decision]]:
        """(person, role) -> (counts from, decision), of those that a step of the policy in force has a use for."""
        return {key: given for key, given in self._given.items() if self._fits[key]}

    @property
    def complete(self) -> bool:
        """Whether every step has its quorum; without steps it always is."""
        return all(since is not None or not there for since, there in zip(self.granted, self.exists, strict=True))

    @property
    def certified(self) -> Decimal | None:
        """The lowest completion that a signer certified, if any certified less than the claim."""
        stated = [money.percent(d.certified) for _, d in self.signatures.values() if d.certified is not None]
        return min(stated) if stated else None

    @property
    def expired_step(self) -> int | None:
        """The step whose deadline ended the submission."""
        return next((i for i, stand in enumerate(self._stands) if stand.expired_at is not None), None)

    def steps(self) -> tuple[Step, ...]:
        """The policy's steps; `exists` says which of them this submission has."""
        return self._policy.steps

    def key(self, step: int) -> str:
        """What the timer of a step's request goes by."""
        return self._stands[step].key

    def mark(self, step: int) -> str:
        """What tells a step's request from that of the step in its place under an earlier policy."""
        asked_at = self._stands[step].asked_at
        return f"@{asked_at}" if asked_at > self._opened_at else ""

    def past(self, over: bool) -> list[str]:
        """The timers of what nobody will be asked (any more): steps that were replaced, all of what is `over`."""
        steps = zip(self._stands, self._policy.steps, strict=True) if over else ()
        return [*self._gone, *(stand.key for stand, step in steps if step.within is not None)]

    def deemed(self, step: int) -> bool:
        """Whether a step has its quorum by silence."""
        return self._stands[step].deemed_at is not None

    def ticks(self) -> list[int]:
        """The ticks that made silence acceptance."""
        return [stand.deemed_by for stand in self._stands if stand.deemed_by is not None]

    def stage(self, step: int) -> int:
        """How many escalations a step went through."""
        return len(self._stands[step].escalated)

    def roles(self, step: int) -> tuple[str, ...]:
        """Who may sign a step now: its role, and those that it was escalated to."""
        terms = self._policy.steps[step]
        return (terms.role, *(e.role for e in terms.escalations[: self.stage(step)]))

    def govern(self, policy: Policy, at: int) -> None:
        """Go on under another policy from `at` on: the signatures stand, and count where it has their roles.

        A step that stays as it is goes on; another one in its place is asked for anew.
        """
        before, self._policy = self._policy.steps, policy
        same = {i for i, step in enumerate(policy.steps[: len(before)]) if step == before[i]}
        stands = self._stands
        self._gone += [stands[i].key for i, step in enumerate(before) if i not in same and step.within is not None]
        self._stands = [stands[i] if i in same else _Stand(self._named(i, at), at) for i in range(len(policy.steps))]
        self.exists = _existing(policy, self._gross)
        for key, (_, decision) in self._given.items():
            fits = [i for i in self._proved(decision, self._steps(decision)) if i not in same]
            self._fits[key] = self._preferred(decision, [*fits, *(i for i in self._fits[key] if i in same)])
        self._count()
        if self.complete and self._reporter_alone:
            self._given.clear()
            self._count()

    def open_steps(self) -> list[int]:
        """The steps that may be signed now and have no quorum yet."""
        missing = [i for i, since in enumerate(self.granted) if since is None and self.exists[i]]
        return missing[:1] if self._policy.sequential else missing

    def opening(self, step: int) -> int | None:
        """Since when a step may be signed; None while an earlier one keeps it."""
        before = [self.granted[i] for i in range(step) if self.exists[i]]
        return before[-1] if before and self._policy.sequential else self._opened_at

    def asked_at(self, step: int) -> int:
        """What a step's first deadline and its reminders count from: the request (rule 16)."""
        opening, stand = self.opening(step), self._stands[step]
        return max(stand.asked_at, self._clock.timer(stand.key).asked, self._opened_at if opening is None else opening)

    def deadline(self, step: int) -> int | None:
        """When the stage that a step is at times out; None where it never does."""
        terms, stand, stage = self._policy.steps[step], self._stands[step], self.stage(step)
        within = terms.escalations[stage - 1].within if stage else terms.within
        if within is None or self.opening(step) is None:
            return None
        since = stand.escalated[-1] if stage else self.asked_at(step)
        fired = [] if stand.void else self._clock.timer(stand.key).fired
        # what fired stays where it fired, even if the engagement was suspended for that time later
        return fired[stage][0] if stage < len(fired) else self._clock.pace.after(since, within)

    def fires_at(self, step: int) -> int | None:
        """From when on a tick has an effect on a step; None where its deadline has none."""
        terms, deadline = self._policy.steps[step], self.deadline(step)
        if deadline is None or self.stage(step) < len(terms.escalations):
            return deadline
        if terms.on_timeout == "accept":
            return self._clock.pace.extended(deadline, terms.grace)
        return deadline if terms.on_timeout is not None else None

    def reminder(self, step: int, number: int) -> int | None:
        """When the reminder of that number (from 1) is due; None where a step has none."""
        every = self._policy.steps[step].remind_every
        return None if every is None else self._clock.pace.after(self.asked_at(step), every, number)

    def time_out(self, at: int) -> bool:
        """Let what ticks have fired take effect by `at`; True if it ends the submission.

        A deadline that was answered in time, is one of a step that opened later, or that an amendment left without a
        consequence, has no effect.
        """
        for i, stand in enumerate(self._stands):
            fired = self._clock.timer(stand.key).fired
            while not stand.void and len(stand.escalated) < len(fired) and stand.deemed_at is None:
                deadline, tick = fired[len(stand.escalated)]
                escalates = not self._closes(i)
                if (tick if escalates else deadline) > at:
                    break
                opening, terms = self.opening(i), self._policy.steps[i]
                idle = terms.on_timeout is None and self.stage(i) == len(terms.escalations)
                if idle or self.granted[i] is not None or opening is None or opening > deadline or not self.exists[i]:
                    stand.void = True
                elif escalates:
                    stand.escalated.append(tick)
                elif terms.on_timeout == "accept":
                    stand.deemed_at, stand.deemed_by = deadline, tick
                    self._count()
                else:
                    stand.expired_at = deadline
                    return True
        return False

    def decide(self, decision: Decision, at: int) -> str:
        """Take a decision that counts from `at`: COUNTED, or why it does not."""
        steps = self._steps(decision)
        if not steps or not self.reaches(decision, at):
            return NOT_OPEN
        if not self._holds_role(decision.approver, decision.role, decision.at):
            return NOT_IN_ROLE
        steps = [i for i in steps if not self._too_late(i, at)]
        if not steps:
            return OUTSIDE_WINDOW
        key = (decision.approver, decision.role)
        if decision.decision == "REJECTED":
            self.rejected_step = next((i for i in steps if self.granted[i] is None), steps[0])
            return COUNTED
        if decision.decision == "WITHDRAWN":
            if self._given.pop(key, None) is None and key not in self.unproved:
                return NOT_OPEN
            self.unproved.discard(key)
            self._count()
            return COUNTED
        steps = self._proved(decision, steps)
        if not steps:
            self.unproved.add(key)
            return EVIDENCE_MISSING
        self.unproved.discard(key)
        if self._policy.distinct and any(p == decision.approver and r != decision.role for p, r in self.signatures):
            return SEPARATION_OF_DUTIES
        return self._sign(key, decision, at, steps)

    def late(self, decision: Decision, at: int) -> bool:
        """Whether a decision on what is not open any more came after the deadline of all of its steps."""
        steps = self._steps(decision)
        return bool(steps) and all(self._silent(i, at) for i in steps)

    def reaches(self, decision: Decision, at: int) -> bool:
        """Whether no step of the decision's role waits for an earlier one, in sequential order."""
        steps = self._steps(decision)
        return not (steps and self._policy.sequential) or any(self._reached(i, at) for i in steps)

    def _sign(self, key: tuple[str, str], decision: Decision, at: int, steps: list[int]) -> str:
        before, fitted = self._given.get(key), self._fits.get(key, [])
        if self._policy.distinct:
            steps = [i for i in steps if self._reached(i, at)]  # nobody signs two: it is for what is open
        self._given[key] = (before[0] if before and set(steps) <= set(fitted) else at, decision)
        self._fits[key] = self._preferred(decision, steps)
        self._count()
        if self.complete and self._reporter_alone:
            # whoever reported may not be the only signer
            if before is None:
                del self._given[key]
            else:
                self._given[key], self._fits[key] = before, fitted
            self._count()
            return SEPARATION_OF_DUTIES
        return COUNTED

    @property
    def _reporter_alone(self) -> bool:
        """Whether only whoever reported has signed, and silence stands for nobody else."""
        silent = any(stand.deemed_at is not None for stand in self._stands)
        return not silent and {person for person, _ in self.signatures} == {self._reporter}

    def _named(self, step: int, since: int | None = None) -> str:
        number, content = self._submission
        return f"{number}.{step + 1} {content}" if since is None else f"{number}.{step + 1} {content} {since}"

    def _steps(self, decision: Decision) -> list[int]:
        return [i for i, there in enumerate(self.exists) if there and decision.role in self.roles(i)]

    def _proved(self, decision: Decision, steps: list[int]) -> list[int]:
        """Those steps that a signature carries the evidence for."""
        names = {e.name for e in decision.evidence}
        return [i for i in steps if names.issuperset(self._policy.steps[i].evidence)]

    def _preferred(self, decision: Decision, steps: list[int]) -> list[int]:
        """The steps of the decision's own role before those that were escalated to it."""
        return sorted(steps, key=lambda i: (self._policy.steps[i].role != decision.role, i))

    def _closes(self, step: int) -> bool:
        """Whether the next deadline of a step ends it, by acceptance or rejection."""
        terms = self._policy.steps[step]
        return self.stage(step) == len(terms.escalations) and terms.on_timeout is not None

    def _silent(self, step: int, at: int) -> bool:
        """Whether a step's last deadline passed by `at` without an answer."""
        stand = self._stands[step]
        passed = stand.deemed_at if stand.expired_at is None else stand.expired_at
        return passed is not None and passed <= at

    def _too_late(self, step: int, at: int) -> bool:
        """Whether a step's last deadline has passed by `at`, fired or not; one that was answered in time has none."""
        if self.granted[step] is not None or not self._closes(step):
            return self._silent(step, at)
        deadline = self.deadline(step)
        return deadline is not None and deadline <= at

    def _reached(self, step: int, at: int) -> bool:
        """Sequential order: whether the step had been opened by `at`."""
        opening = self.opening(step)
        return opening is not None and opening <= at

    def _count(self) -> None:
        """Give each step its signers, first come first; with `distinct` nobody fills two."""
        waiting = sorted(self._given.items(), key=lambda item: item[1][0])
        counted = [(since, self._fits[key]) for key, (since, _) in waiting]
        quorums = [step.quorum for step in self._policy.steps]
        if self._policy.distinct:
            signed = filled(quorums, counted)
        else:
            each = ([item for item in counted if i in item[1]][: quorums[i]] for i in range(len(quorums)))
            signed = [
                found[-1][0] if len(found) == quorum else None for found, quorum in zip(each, quorums, strict=True)
            ]
        deemed = [stand.deemed_at for stand in self._stands]
        self.granted = [since if at is None else at for since, at in zip(signed, deemed, strict=True)]
        if self._policy.sequential:
            # a step counts from when the one before it did
            before: int | None = self._opened_at
            for i, since in enumerate(self.granted):
                if self.exists[i]:
                    before = self.granted[i] = None if before is None or since is None else max(before, since)
