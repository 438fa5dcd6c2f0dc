"""Signatures on one submission: quorum, order, separation of duties (rules 13 to 15).

A ballot takes decisions in the order of their times and says of each whether it counts. It knows nothing of gates and
money; when a ballot is complete, the submission is settled.
"""

from collections.abc import Callable
from decimal import Decimal

from milepost.core import money
from milepost.core.contract import Policy
from milepost.core.facts import Decision

__all__ = ["COUNTED", "NOT_IN_ROLE", "NOT_OPEN", "SEPARATION_OF_DUTIES", "Ballot"]

COUNTED = "COUNTED"
NOT_OPEN = "NOT_OPEN"
NOT_IN_ROLE = "NOT_IN_ROLE"
SEPARATION_OF_DUTIES = "SEPARATION_OF_DUTIES"


class Ballot:
    """The signatures of one submission; `granted` has for every step since when it has its quorum, or None."""

    __slots__ = ("_holds_role", "_opened_at", "_policy", "_reporter", "granted", "rejected_step", "signatures")

    def __init__(
        self, policy: Policy, opened_at: int, reporter: str | None, holds_role: Callable[[str, str, int], bool]
    ) -> None:
        self._policy = policy
        self._opened_at = opened_at
        self._reporter = reporter
        self._holds_role = holds_role
        self.signatures: dict[tuple[str, str], tuple[int, Decision]] = {}  # (person, role) -> (counts from, decision)
        self.granted: list[int | None] = [None] * len(policy.steps)
        self.rejected_step: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every step has its quorum; without steps it always is."""
        return None not in self.granted

    @property
    def certified(self) -> Decimal | None:
        """The lowest completion that a signer certified, if any certified less than the claim."""
        stated = [money.percent(d.certified) for _, d in self.signatures.values() if d.certified is not None]
        return min(stated) if stated else None

    def govern(self, policy: Policy) -> None:
        """Go on under another policy: the signatures stand, and count where it has their roles."""
        self._policy = policy
        self.granted = [None] * len(policy.steps)
        self._count()

    def open_steps(self) -> list[int]:
        """The steps that may be signed now and have no quorum yet."""
        missing = [i for i, since in enumerate(self.granted) if since is None]
        return missing[:1] if self._policy.sequential else missing

    def decide(self, decision: Decision, at: int) -> str:
        """Take a decision that counts from `at`: COUNTED, or why it does not."""
        steps = self._steps(decision)
        if not steps or not self.reaches(decision, at):
            return NOT_OPEN
        if not self._holds_role(decision.approver, decision.role, decision.at):
            return NOT_IN_ROLE
        key = (decision.approver, decision.role)
        if decision.decision == "REJECTED":
            self.rejected_step = next((i for i in steps if self.granted[i] is None), steps[0])
            return COUNTED
        if decision.decision == "WITHDRAWN":
            if self.signatures.pop(key, None) is None:
                return NOT_OPEN
            self._count()
            return COUNTED
        if self._policy.distinct and any(p == decision.approver and r != decision.role for p, r in self.signatures):
            return SEPARATION_OF_DUTIES
        before = self.signatures.get(key)
        self.signatures[key] = (before[0] if before else at, decision)
        self._count()
        if self.complete and {person for person, _ in self.signatures} == {self._reporter}:
            # whoever reported may not be the only signer
            if before is None:
                del self.signatures[key]
            else:
                self.signatures[key] = before
            self._count()
            return SEPARATION_OF_DUTIES
        return COUNTED

    def reaches(self, decision: Decision, at: int) -> bool:
        """Whether no step of the decision's role waits for an earlier one, in sequential order."""
        steps = self._steps(decision)
        return not (steps and self._policy.sequential) or any(self._reached(i, at) for i in steps)

    def _steps(self, decision: Decision) -> list[int]:
        return [i for i, step in enumerate(self._policy.steps) if step.role == decision.role]

    def _reached(self, step: int, at: int) -> bool:
        """Sequential order: whether the step had been opened by `at`."""
        return all(since is not None and since <= at for since in self.granted[:step])

    def _count(self) -> None:
        """Give each step its signers, first come first; nobody fills two steps of one role."""
        waiting = sorted(self.signatures.items(), key=lambda item: item[1][0])
        for i, step in enumerate(self._policy.steps):
            signers = [item for item in waiting if item[0][1] == step.role][: step.quorum]
            self.granted[i] = max([item[1][0] for item in signers], default=0) if len(signers) == step.quorum else None
            if self._policy.distinct:
                waiting = [item for item in waiting if item not in signers]
        if self._policy.sequential:
            # a step counts from when the one before it did
            for i in range(1, len(self.granted)):
                before, since = self.granted[i - 1], self.granted[i]
                self.granted[i] = None if before is None or since is None else max(before, since)
