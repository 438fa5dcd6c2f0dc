"""An independent second opinion on the money: the same rules, none of the core's code.

The oracle is given a contract and the events in the order in which they arrived. After each it computes everything
again from the first event on: what is accepted, what is billed, what is held. It is slow on purpose.
"""

from fractions import Fraction

from milepost.core.contract import Contract, Fixed, PercentOfValue
from milepost.core.events import ClockTick, EngagementEvent, Event
from milepost.sim.oracle_claims import Accepted, accepted
from milepost.sim.oracle_facts import Facts, exact, start_of

__all__ = ["Oracle", "fees", "rounded"]


def rounded(amount: Fraction, rounding: str) -> int:
    """To a whole minor unit: half away from zero, or half to even."""
    if rounding == "half_even":
        return round(amount)
    whole = int(abs(amount) + Fraction(1, 2))
    return whole if amount >= 0 else -whole


def fees(contract: Contract) -> dict[str, int]:
    """Each milestone's fee in minor units; percentages by largest remainder, ties to the earliest (rule 3)."""
    found = {m.id: m.fee.amount_minor for m in contract.milestones if isinstance(m.fee, Fixed)}
    shares = {
        m.id: exact(m.fee.percent) * (contract.value_minor or 0) / 100
        for m in contract.milestones
        if isinstance(m.fee, PercentOfValue)
    }
    found.update({name: int(amount) for name, amount in shares.items()})
    whole = rounded(sum(shares.values(), Fraction(0)), contract.rounding)
    left = whole - sum(int(amount) for amount in shares.values())
    for name in sorted(shares, key=lambda name: int(shares[name]) - shares[name])[:left]:  # the sort is stable: ties
        found[name] += 1
    return found


class Oracle:
    """One engagement's account: `gross` by milestone, `held`, `released`, and `payable`, all in minor units."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.fees = fees(contract)
        self.gross: dict[str, int] = {milestone.id: 0 for milestone in contract.milestones}
        self.accepted: dict[str, Accepted] = {}
        self.signed_off_at: int | None = None
        self.held = 0
        self.released = 0
        self.payable = 0
        self._held_to_date = 0
        self._subject: dict[str, int] = {milestone.id: 0 for milestone in contract.milestones}
        self._open = False
        self._suspended = False
        self._changed_at: int | None = None
        self._arrived: list[Event] = []
        self._early: list[Event] = []
        self._opens = start_of(contract.effective_from, contract.timezone)

    def take(self, event: Event) -> None:
        """One event arrives."""
        if self._open or isinstance(event, ClockTick):
            self._arrive(event)
        elif isinstance(event, EngagementEvent) and event.change == "OPENED":
            self._open = True
            for early in [event, *self._early]:
                self._arrive(early)
        else:
            self._early.append(event)

    def _arrive(self, event: Event) -> None:
        self._arrived.append(event)
        if not self._open:
            return
        if isinstance(event, EngagementEvent) and event.change in ("SUSPENDED", "RESUMED"):
            self._suspend(event)
        facts = Facts(self.contract, self._arrived)
        self.accepted = accepted(facts)
        self.signed_off_at = self._sign_off(facts)
        if not self._suspended:
            for milestone in self.contract.milestones:
                self._bill(milestone.id)
            self._release()
        assert sum(self.gross.values()) == self.payable + self.held
        assert self.held >= 0

    def _suspend(self, event: EngagementEvent) -> None:
        """SUSPENDED and RESUMED act on arrival; one from before the last change is an old one that was sent again."""
        suspends = event.change == "SUSPENDED"
        if event.occurred_at < self._opens or suspends == self._suspended:
            return
        last = self._changed_at
        if last is not None and (event.occurred_at < last or (suspends and event.occurred_at == last)):
            return
        self._suspended, self._changed_at = suspends, event.occurred_at

    def _sign_off(self, facts: Facts) -> int | None:
        """When the sign-off took effect: the first instant at or after it with all it waits for accepted.

        What a termination cancelled is not waited for, beyond what was accepted of it.
        """
        if facts.signed_off is None:
            return None
        required = [self.accepted[m.id] for m in self.contract.milestones if not m.optional]
        instants = {at for found in required for at, _ in found.steps if at > facts.signed_off}
        for at in sorted({facts.signed_off, *instants}):
            if all(found.at(at) == 100 or (facts.terminated is not None and _over(found, at)) for found in required):
                return at
        return None

    def _bill(self, name: str) -> None:
        """The difference between what is entitled to and what is billed becomes a line."""
        entitled = self.accepted[name]
        difference = rounded(entitled.percent * self.fees[name] / 100, self.contract.rounding) - self.gross[name]
        if difference:
            retained = self._retain(name, difference, entitled.steps[-1][0] if entitled.steps else None)
            self.gross[name] += difference
            self.payable += difference - retained

    def _retain(self, name: str, difference: int, accepted_at: int | None) -> int:
        retention = self.contract.retention
        milestone = next(m for m in self.contract.milestones if m.id == name)
        if retention is None or "milestones" in retention.exempt or not milestone.retained:
            return 0
        after = self.signed_off_at is not None and accepted_at is not None and accepted_at > self.signed_off_at
        if difference < 0:
            # What was never subject to retention is taken back first.
            self._subject[name] = min(self._subject[name], self.gross[name] + difference)
        elif not after:
            self._subject[name] += difference
        else:
            return 0
        change = self._to_hold() - self._held_to_date
        if change < 0:
            change = max(change, -self.held)
        self._held_to_date += change
        self.held += change
        return change

    def _to_hold(self) -> int:
        retention = self.contract.retention
        assert retention
        amount = exact(retention.rate) * sum(self._subject.values()) / 100
        if retention.cap is not None:
            cap = Fraction(retention.cap.amount_minor or 0)
            if retention.cap.percent_of_value is not None:
                cap = exact(retention.cap.percent_of_value) * (self.contract.value_minor or 0) / 100
            amount = min(amount, cap)
        return rounded(amount, self.contract.rounding)

    def _release(self) -> None:
        """Every rule of this language's part fires at the sign-off, so all that is held goes out."""
        retention = self.contract.retention
        if retention is not None and retention.release and self.signed_off_at is not None:
            self.released += self.held
            self.payable += self.held
            self.held = 0


def _over(found: Accepted, at: int) -> bool:
    """Whether nothing more of a cancelled milestone was accepted after `at`."""
    return found.percent < 100 and all(step <= at for step, _ in found.steps)
