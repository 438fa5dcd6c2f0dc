"""What was withheld from which line, and what of it is released when (rules 5, 23 and 24)."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from milepost.core.contract import Cap, Contract, EarlierOf, LaterOf, Moment, OnDate, OnSignoff, Retention
from milepost.sim.oracle_days import moment_after, start_of
from milepost.sim.oracle_facts import exact
from milepost.sim.oracle_terms import Terms, rounded

__all__ = ["Account", "Subject", "moment_of"]

Subject = tuple[str, str | None]  # whose lines: a milestone and its occurrence, or a rate's and its month's


@dataclass
class _Hold:
    """What is withheld from one line, less what its credits took back; what was paid out stays part of it."""

    subject: Subject
    accepted_at: int
    amount: int
    paid: int = 0


@dataclass
class _Part:
    """Gross that is subject to retention, and the acceptance whose terms govern it."""

    subject: Subject
    accepted_at: int
    gross: int
    line: object  # that it is of


class Account:
    """Held and released of one engagement, in minor units."""

    def __init__(self) -> None:
        self.terms: Terms
        self.released = 0
        self.excess = 0  # paid out because an amendment withholds less of everything
        self._holds: list[_Hold] = []
        self._parts: list[_Part] = []

    @property
    def held_to_date(self) -> int:
        """All that was withheld and not taken back by credits."""
        return sum(hold.amount for hold in self._holds)

    @property
    def held(self) -> int:
        """What is withheld now."""
        return self.held_to_date - self.released

    def charge(self, subject: Subject, gross: int, accepted_at: int, line: object) -> int:
        """What is withheld from a line that is subject to retention."""
        self._parts.append(_Part(subject, accepted_at, gross, line))
        return self._change(subject, accepted_at)

    def credit(self, subject: Subject, left: int, line: object = None) -> int:
        """What a credit takes back of what is withheld; `left` of the subject's gross stays.

        What was never subject to retention is taken back first, then of the line that is named, then the latest.
        """
        own = [part for part in self._parts if part.subject == subject]
        if not own:
            return 0
        over = sum(part.gross for part in own) - max(left, 0)
        named = [part for part in own if part.line is line]
        for part in (*named, *(part for part in reversed(own) if part.line is not line)):
            taken = min(part.gross, max(over, 0))
            part.gross -= taken
            over -= taken
        return self._change(subject, None)

    def _change(self, subject: Subject, accepted_at: int | None) -> int:
        change = max(self.to_hold() - self.held_to_date, -self.held)
        if accepted_at is None:
            change = min(change, 0)  # a credit withholds nothing
        if change > 0:
            self._holds.append(_Hold(subject, accepted_at or 0, change))
        elif change < 0:
            self._take_back(subject, -change)
        return change

    def _take_back(self, subject: Subject, amount: int) -> None:
        """Of the holds of its own lines first, the latest first."""
        own = [hold for hold in reversed(self._holds) if hold.subject == subject]
        for hold in own + [hold for hold in reversed(self._holds) if hold.subject != subject]:
            taken = min(hold.amount - hold.paid, amount)
            hold.amount -= taken
            amount -= taken

    def to_hold(self) -> int:
        """Rate x gross to date, by step-down and cap; a new rate applies to what is accepted from its day on."""
        amount, cap = Fraction(0), None
        for place, version in enumerate(self.terms.versions):
            before = sum(part.gross for part in self._parts if self.terms.place_at(part.accepted_at) < place)
            own = sum(part.gross for part in self._parts if self.terms.place_at(part.accepted_at) == place)
            if version.retention is not None:
                amount += _withheld(version, version.retention, before + own)
                amount -= _withheld(version, version.retention, before)
                cap = self._cap(version.retention.cap)
        return rounded(amount if cap is None else min(amount, cap), self.terms.rounding)

    def _cap(self, cap: Cap | None) -> Fraction | None:
        if cap is None:
            return None
        if cap.percent_of_value is None:
            return Fraction(cap.amount_minor or 0)
        version = self.terms.first if cap.basis == "original" else self.terms.latest
        return exact(cap.percent_of_value) * (version.value_minor or 0) / 100

    def release_excess(self) -> int:
        """What an amendment leaves over of what is withheld; the amount."""
        over = min(self.held_to_date - self.to_hold(), self.held)
        if over <= 0:
            return 0
        self.excess += over
        left = over
        for hold in self._holds:  # the first first, as any release
            taken = min(hold.amount - hold.paid, left)
            hold.amount -= taken
            left -= taken
        return over

    def release(self, signed_off: int | None, clock: int | None) -> int:
        """Pay out what the rules that fired say, all together; the amount."""
        retention = self.terms.latest.retention
        if retention is None or not retention.release:
            return 0
        fired = []
        for rule in retention.release:
            moment = moment_of(rule.when, signed_off, clock, self.terms)
            if moment is not None:
                fired.append((moment, exact(rule.share)))
        paid = 0
        share = Fraction(0)
        for moment, own in sorted(fired, key=lambda found: found[0]):
            share += own
            due = sum(hold.amount for hold in self._holds if hold.accepted_at <= moment)
            amount = min(rounded(share * due / 100, self.terms.rounding) - self.released, self.held)
            if len(fired) == len(retention.release) and moment == max(found[0] for found in fired):
                amount = self.held
            self._pay(max(amount, 0), moment if amount < self.held else None)
            paid += max(amount, 0)
        return paid

    def _pay(self, amount: int, moment: int | None) -> None:
        """Of the holds of lines accepted by the moment, the first first."""
        self.released += amount
        for hold in self._holds:
            if moment is None or hold.accepted_at <= moment:
                own = min(hold.amount - hold.paid, amount)
                hold.paid += own
                amount -= own


def _withheld(version: Contract, retention: Retention, gross: int) -> Fraction:
    """The rate for what lies below the first step, and each step's for what lies above it."""
    rate, below, amount = exact(retention.rate), Fraction(0), Fraction(0)
    for step in retention.step_down:
        until = exact(step.from_percent_billed) * (version.value_minor or 0) / 100
        amount += rate * (min(Fraction(gross), until) - below) / 100 if gross > below else 0
        rate, below = exact(step.rate), until
    return amount + (rate * (gross - below) / 100 if gross > below else 0)


def moment_of(when: Moment, signed_off: int | None, clock: int | None, terms: Terms) -> int | None:
    """When a release rule fired: dates pass only by ticks, the sign-off has its instant; None if not yet."""
    zone, calendar = terms.zone, terms.latest.calendar
    match when:
        case LaterOf():
            found = _all(when.moments, signed_off, clock, terms)
            return None if None in found else max(at for at in found if at is not None)
        case EarlierOf():
            return min((at for at in _all(when.moments, signed_off, clock, terms) if at is not None), default=None)
        case OnDate():
            return _come(start_of(when.on, zone), clock)
        case OnSignoff():
            if signed_off is None or when.after is None:
                return signed_off
            return _come(moment_after(signed_off, when.after, zone, calendar), clock)


def _come(at: int, clock: int | None) -> int | None:
    return at if clock is not None and at <= clock else None


def _all(moments: Sequence[Moment], signed_off: int | None, clock: int | None, terms: Terms) -> list[int | None]:
    return [moment_of(moment, signed_off, clock, terms) for moment in moments]
