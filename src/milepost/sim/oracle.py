"""An independent second opinion on the money: the same rules, none of the core's code.

The oracle is given a contract and the events in the order in which they arrived. After each it computes everything
again from the first event on: what is accepted, what is billed, what is held. It is slow on purpose.
"""

from functools import partial

from milepost.core.contract import Contract, Success
from milepost.core.events import ClockTick, EngagementEvent, Event
from milepost.sim.oracle_accepted import Accepted
from milepost.sim.oracle_amendments import signed
from milepost.sim.oracle_days import start_of
from milepost.sim.oracle_deadlines import Deadlines, Request
from milepost.sim.oracle_facts import SIGNOFF, Facts, Key
from milepost.sim.oracle_hours import Hours, Runs, month_ends, worth
from milepost.sim.oracle_ledger import Account, Subject
from milepost.sim.oracle_occurrences import Found, assessed
from milepost.sim.oracle_prices import left_out
from milepost.sim.oracle_terms import Terms, fees, rounded

__all__ = ["Oracle", "fees", "rounded"]


class Oracle:
    """One engagement's account: `gross` by occurrence, `held`, `released`, and `payable`, all in minor units."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.gross: dict[Key, int] = {}
        self.hours: dict[Hours, int] = {}
        self._runs = Runs()
        self.signed_off_at: int | None = None
        self.payable = 0
        self.terms = Terms([contract], None)
        self.accepted = Found(self.terms)
        self.amendments: dict[Key, Accepted] = {}
        self._followed = 1
        self._account = Account()
        self._deadlines = Deadlines()
        self._open = False
        self._suspended = False
        self._changed_at: int | None = None
        self._arrived: list[Event] = []
        self._early: list[Event] = []
        self._opens = start_of(contract.effective_from, contract.timezone)

    @property
    def held(self) -> int:
        """What is withheld now."""
        return self._account.held

    @property
    def released(self) -> int:
        """What was paid out of what was withheld."""
        return self._account.released + self._account.excess

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
        before = max((e.at for e in self._arrived if isinstance(e, ClockTick)), default=None)
        self._arrived.append(event)
        if not self._open:
            return
        if isinstance(event, EngagementEvent) and event.change in ("SUSPENDED", "RESUMED"):
            self._suspend(event)
        facts = Facts(self.contract, self._arrived, lambda _: False)
        if isinstance(event, ClockTick) and (before is None or event.at > before):
            self._runs.tick(event.at, self.terms.zone)
            over = facts.terminated is not None
            waiting = [request for request in self._waiting() if not over or request.key[0] == SIGNOFF]
            if not self._suspended:
                self._deadlines.tick(waiting, event.at)
        self.terms, self.amendments = signed(facts, self.contract, self._deadlines)
        facts = Facts(self.contract, self._arrived, partial(left_out, self.terms))
        self.accepted = assessed(facts, self.terms, self._deadlines)
        if not self._suspended:
            self._deadlines.ask(self._waiting(), facts.clock, self.contract)
        self.signed_off_at = self._sign_off(facts)
        self._account.terms = self.terms
        if not self._suspended:
            self._follow_amendments()
            self._bill_all()
            self._runs.take_place(partial(self._run, facts))
            self._release(facts)
        assert sum([*self.gross.values(), *self.hours.values()]) == self.payable + self.held
        assert self.held >= 0

    def _waiting(self) -> list[Request]:
        return [r for found in [*self.amendments.values(), *self.accepted.values()] for r in found.waiting]

    def _follow_amendments(self) -> None:
        """A version that governs everything withholds less of everything at once, before the fees' differences."""
        new = range(self._followed, len(self.terms.versions))
        if any(self.terms.mode(place) == "catch_up" for place in new):
            self.payable += self._account.release_excess()
        self._followed = len(self.terms.versions)

    def _suspend(self, event: EngagementEvent) -> None:
        """SUSPENDED and RESUMED act on arrival; one from before the last change is an old one that was sent again."""
        suspends = event.change == "SUSPENDED"
        if event.occurred_at < self._opens or suspends == self._suspended:
            return
        last = self._changed_at
        if last is not None and (event.occurred_at < last or (suspends and event.occurred_at == last)):
            return
        self._suspended, self._changed_at = suspends, event.occurred_at
        if suspends:
            self._deadlines.stop(event.occurred_at)
        else:
            self._deadlines.go_on(event.occurred_at)

    def _sign_off(self, facts: Facts) -> int | None:
        """When the sign-off took effect: the first instant at or after it with all it waits for accepted.

        What a termination cancelled is not waited for, beyond what was accepted of it.
        """
        claim = self.accepted[(SIGNOFF, None)]
        if not claim.percent:
            return None
        claimed = claim.levels[-1].at
        required = [
            self.accepted[(m.id, None)]
            for m in self.terms.latest.milestones
            if not m.optional and m.repeats == "none" and not (isinstance(m.fee, Success) and m.fee.to_date)
        ]
        instants = {level.at for found in required for level in found.levels if level.at > claimed}
        for at in sorted({claimed, *instants}):
            if all(found.at(at) == 100 or (facts.terminated is not None and _over(found, at)) for found in required):
                return at
        return None

    def _bill_all(self) -> None:
        """The difference between what is entitled to and what is billed becomes a line."""
        for name in self.terms.milestones():
            fee_minor = self.terms.fees_by_place(name, range(len(self.terms.versions)), self.accepted.steps())
            for key in [key for key in self.accepted if key[0] == name]:
                levels = self.accepted[key].levels
                if levels or key in self.gross:
                    self._bill(key, self._entitled(key, fee_minor), levels[-1].at if levels else 0)

    def _entitled(self, key: Key, fee_minor: dict[int, int]) -> int:
        found = self.accepted[key]
        if not found.levels:
            return 0
        level = found.levels[-1]
        whole = fee_minor.get(self.terms.governing(key[0], level.grown_at), 1) * level.price
        return rounded(whole * level.percent / 100, self.terms.rounding)

    def _bill(self, key: Key, entitled: int, accepted_at: int) -> None:
        billed = self.gross.get(key, 0)
        if entitled == billed:
            return
        retained = self._retain(key, entitled - billed, entitled, accepted_at)
        self.gross[key] = entitled
        self.payable += entitled - billed - retained

    def _run(self, facts: Facts, until: str) -> None:
        """Bill the difference of every month that has ended; what is worked in one is accepted at its end."""
        due = worth(self.terms, facts.usage, until, {})
        for key in [*due, *(key for key in self.hours if key not in due)]:
            gross, billed = due.get(key, 0), self.hours.get(key, 0)
            if gross != billed:
                retained = self._retain_hours(key, gross - billed, gross)
                self.hours[key] = gross
                self.payable += gross - billed - retained

    def _retain_hours(self, key: Hours, difference: int, left: int) -> int:
        accepted_at = month_ends(key.month, self.terms.zone)
        retention = self.terms.versions[self.terms.place_at(accepted_at)].retention
        if retention is None or "time_and_materials" in retention.exempt:
            return 0
        return self._withheld(("/".join(key), None), difference, left, accepted_at)

    def _withheld(self, subject: Subject, difference: int, left: int, accepted_at: int) -> int:
        """What a line that is subject to retention withholds, or a credit takes back."""
        if difference < 0:
            return self._account.credit(subject, left)
        if self.signed_off_at is not None and accepted_at > self.signed_off_at:
            return 0
        return self._account.charge(subject, difference, accepted_at)

    def _retain(self, key: Key, difference: int, left: int, accepted_at: int) -> int:
        retention = self.terms.versions[self.terms.place_at(accepted_at)].retention
        milestone = self.terms.fee_terms(key[0], accepted_at)
        kind = "success_fees" if isinstance(milestone.fee, Success) else "milestones"
        if retention is None or kind in retention.exempt or not milestone.retained:
            return 0
        return self._withheld(key, difference, left, accepted_at)

    def _release(self, facts: Facts) -> None:
        """Retention of a terminated engagement waits for the sign-off."""
        if facts.terminated is None or self.signed_off_at is not None:
            self.payable += self._account.release(self.signed_off_at, facts.clock)


def _over(found: Accepted, at: int) -> bool:
    """Whether nothing more of a cancelled milestone was accepted after `at`."""
    return found.percent < 100 and all(step <= at for step, _ in found.steps)
