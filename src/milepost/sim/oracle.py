"""An independent second opinion on the money: the same rules, none of the core's code.

The oracle is given a contract and the events in the order in which they arrived. After each it computes everything
again from the first event on: what is accepted, what is billed, what is held. It is slow on purpose.
"""

from collections.abc import Iterator
from functools import partial

from milepost.core.contract import Contract
from milepost.core.events import ClockTick, DisputeEvent, EngagementEvent, Event
from milepost.sim.oracle_accepted import Accepted, Level
from milepost.sim.oracle_amendments import signed
from milepost.sim.oracle_books import Books
from milepost.sim.oracle_clawback import Amount, clawed_back
from milepost.sim.oracle_days import start_of
from milepost.sim.oracle_deadlines import Claim, Deadlines, Waiting
from milepost.sim.oracle_disputes import Disputes
from milepost.sim.oracle_facts import SIGNOFF, Facts, Key
from milepost.sim.oracle_hours import Hours, Runs, worth
from milepost.sim.oracle_occurrences import Found, assessed
from milepost.sim.oracle_prices import left_out
from milepost.sim.oracle_terms import Terms, fees, rounded

__all__ = ["Oracle", "fees", "rounded"]


class Oracle:
    """One engagement's account: `gross` by occurrence, `held`, `released`, and `payable`, all in minor units."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.books = Books(contract.engagement)
        self.disputes = Disputes()
        self._runs = Runs()
        self.signed_off_at: int | None = None
        self.terms = Terms([contract], None)
        self.accepted = Found(self.terms)
        self.amendments: dict[Key, Accepted] = {}
        self._followed = 1
        self._credited = 0  # how many upheld disputes
        self._deadlines = Deadlines(contract)
        self._open = False
        self._suspended = False
        self._changed_at: int | None = None
        self._arrived: list[Event] = []
        self._early: list[Event] = []
        self._opens = start_of(contract.effective_from, contract.timezone)

    @property
    def gross(self) -> dict[Key, int]:
        """Gross to date by milestone and occurrence."""
        return self.books.gross

    @property
    def hours(self) -> dict[Hours, int]:
        """Gross to date of time and materials by month, rate and price."""
        return self.books.hours

    @property
    def payable(self) -> int:
        """What is to be paid to date."""
        return self.books.payable

    @property
    def held(self) -> int:
        """What is withheld now."""
        return self.books.account.held

    @property
    def released(self) -> int:
        """What was paid out of what was withheld."""
        return self.books.account.released + self.books.account.excess

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
            waiting = [found for found in self._waiting() if not over or found.request.key[0] == SIGNOFF]
            if not self._suspended:
                self._deadlines.tick(waiting, event.at)
        facts = self._assess(facts)
        if self._deadlines.asked_again:
            facts = self._assess(facts)  # what is signed already may be in time for the new deadline
        signoff = self.accepted[(SIGNOFF, None)]
        self.signed_off_at = signoff.levels[-1].at if signoff.percent else None
        self.books.follow(self.terms, self.signed_off_at)
        if isinstance(event, DisputeEvent):
            self.disputes.parked.append(event)
        self._bill(facts)
        while self.disputes.meet(self.books.lines, self._opens, facts.terminated):
            self._bill(facts)
        assert sum([*self.gross.values(), *self.hours.values()]) == self.payable + self.held
        assert self.held >= 0

    def _assess(self, facts: Facts) -> Facts:
        """What is accepted, and who is asked now."""
        self.terms, self.amendments = signed(facts, self.contract, self._deadlines)
        facts = Facts(self.contract, self._arrived, partial(left_out, self.terms))
        self.accepted = assessed(facts, self.terms, self._deadlines)
        self._deadlines.keep(self._claims())
        self._deadlines.ask(self._waiting(), facts.clock)
        for found in [*self.amendments.values(), *self.accepted.values()]:
            self._deadlines.note(found.past, facts.clock)
        return facts

    def _claims(self) -> dict[Claim, str | None]:
        found = [*self.amendments.items(), *self.accepted.items()]
        return {(key, one.number, one.content): one.ended for key, some in found for one in some.submissions}

    def _waiting(self) -> list[Waiting]:
        return [waits for found in [*self.amendments.values(), *self.accepted.values()] for waits in found.waiting]

    def _follow_amendments(self) -> None:
        """A version that governs everything withholds less of everything at once, before the fees' differences."""
        new = range(self._followed, len(self.terms.versions))
        if any(self.terms.mode(place) == "catch_up" for place in new):
            self.books.payable += self.books.account.release_excess()
        self._followed = len(self.terms.versions)

    def _suspend(self, event: EngagementEvent) -> None:
        """SUSPENDED and RESUMED act on arrival; one from before the last change is an old one that was sent again."""
        suspends = event.change == "SUSPENDED"
        ended = Facts(self.contract, self._arrived, lambda _: False).terminated
        closed = suspends and ended is not None and event.occurred_at > ended
        if event.occurred_at < self._opens or suspends == self._suspended or closed:
            return
        last = self._changed_at
        if last is not None and (event.occurred_at < last or (suspends and event.occurred_at == last)):
            return
        self._suspended, self._changed_at = suspends, event.occurred_at
        if suspends:
            self._deadlines.stop(event.occurred_at)
        else:
            self._deadlines.go_on(event.occurred_at)

    def _bill(self, facts: Facts) -> None:
        """Unless the engagement is suspended: the differences, the hours of a run that is due, and releases."""
        if self._suspended:
            return
        self._follow_amendments()
        upheld = self.disputes.upheld(facts.terminated)
        for dispute, line, amount in upheld[self._credited :]:
            self.books.credit(line, dispute, amount)
        self._credited = len(upheld)
        for key, entitled, accepted_at in self._entitled(facts):
            self.books.bill(key, entitled, accepted_at)
        self._runs.take_place(partial(self._run, facts))
        waits = self.disputes.is_open(facts.terminated) or (facts.terminated is not None and self.signed_off_at is None)
        if not waits:
            self.books.payable += self.books.account.release(self.signed_off_at, facts.clock)

    def _entitled(self, facts: Facts) -> Iterator[tuple[Key, int, int]]:
        """What is due to date by occurrence, and when the last of it was accepted."""
        steps, places = self.accepted.steps(), range(len(self.terms.versions))
        for name in self.terms.milestones():
            fee_minor = self.terms.fees_by_place(name, places, steps)
            for key in [key for key in self.accepted if key[0] == name]:
                amounts = [self._amount(key, level, fee_minor) for level in self.accepted[key].levels]
                if not amounts and key not in self.gross:
                    continue
                milestone = self.terms.ever(name)
                month = key[1] if milestone.repeats == "monthly" else None
                credited = self.disputes.credits(key, facts.terminated)
                taken = clawed_back(facts, month, amounts, credited, self.terms.rounding)
                taken += self.disputes.taken(key, facts.terminated)
                at, amount = amounts[-1][:2] if amounts else (0, 0)
                yield key, max(amount - taken, 0), at
        for key in [key for key in self.gross if key not in self.accepted]:
            yield key, 0, 0  # all that spoke of it is dated after the termination

    def _amount(self, key: Key, level: Level, fee_minor: dict[int, int]) -> Amount:
        whole = fee_minor.get(self.terms.governing(key[0], level.grown_at), 1) * level.price
        amount = rounded(whole * level.percent / 100, self.terms.rounding)
        return level.at, amount, self.terms.fee_terms(key[0], level.grown_at)

    def _run(self, facts: Facts, until: str) -> None:
        """Bill the difference of every month that has ended."""
        taken = {key: self.disputes.taken(key, facts.terminated) for key in self.hours}
        due = worth(self.terms, facts.usage, until, taken)
        for key in [*due, *(key for key in self.hours if key not in due)]:
            self.books.bill_hours(key, due.get(key, 0))
