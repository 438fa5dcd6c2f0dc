"""What was billed, withheld and paid out: the differences between what is entitled to and what is billed."""

from typing import NamedTuple

from milepost.core.contract import Retention, Success
from milepost.sim.oracle_disputes import Line, Lines
from milepost.sim.oracle_facts import Key
from milepost.sim.oracle_hours import Hours, month_ends
from milepost.sim.oracle_ledger import Account, Subject
from milepost.sim.oracle_terms import Terms

__all__ = ["Books"]


class Books:
    """The account of an engagement; what a line withholds depends on when its part was accepted."""

    def __init__(self, engagement: str) -> None:
        self.gross: dict[Key, int] = {}
        self.hours: dict[Hours, int] = {}
        self.payable = 0
        self.account = Account()
        self.lines = Lines(engagement)
        self.signed_off_at: int | None = None
        self.terms: Terms

    def follow(self, terms: Terms, signed_off_at: int | None) -> None:
        """By which terms lines are withheld from now on."""
        self.terms = self.account.terms = terms
        self.signed_off_at = signed_off_at

    def bill(self, key: Key, entitled: int, accepted_at: int) -> None:
        """Raise the difference of an occurrence."""
        difference = entitled - self.gross.get(key, 0)
        if difference:
            self.gross[key] = entitled
            exempt = difference < 0 or self._is_exempt(key, accepted_at)
            self._enter(_Entry(key, (key[0], key[1] or "", "fee"), difference, entitled, accepted_at, exempt))

    def bill_hours(self, key: Hours, gross: int) -> None:
        """Raise the difference of a month's hours at one rate and price."""
        difference = gross - self.hours.get(key, 0)
        if difference:
            self.hours[key] = gross
            accepted_at = month_ends(key.month, self.terms.zone)
            exempt = "time_and_materials" in self._exempt_at(accepted_at)
            named = ("", key.month, f"tm:{key.rate}:{key.price}")
            self._enter(_Entry(key, named, difference, gross, accepted_at, exempt))

    def credit(self, line: Line, dispute: str, amount: int) -> None:
        """Raise what an upheld dispute takes of an occurrence, or of a month's hours."""
        about, effect = line.about, f"dispute:{dispute}"
        if isinstance(about, Hours):
            self.hours[about] -= amount
            entry = _Entry(about, ("", about.month, effect), -amount, self.hours[about], 0, True)
        else:
            self.gross[about] -= amount
            entry = _Entry(about, (about[0], about[1] or "", effect), -amount, self.gross[about], 0, True)
        self._enter(entry, line)

    def _is_exempt(self, key: Key, accepted_at: int) -> bool:
        milestone = self.terms.fee_terms(key[0], accepted_at)
        kind = "success_fees" if isinstance(milestone.fee, Success) else "milestones"
        return kind in self._exempt_at(accepted_at) or not milestone.retained

    def _exempt_at(self, accepted_at: int) -> tuple[str, ...]:
        """From what nothing is withheld; a contract without retention has the rate 0, until an amendment has one."""
        retention = self.terms.versions[self.terms.place_at(accepted_at)].retention
        return (retention or Retention("0")).exempt

    def _enter(self, entry: "_Entry", disputed: Line | None = None) -> None:
        """One line; a credit takes back of what is withheld what its occurrence no longer needs."""
        retained = 0
        about = entry.about
        subject: Subject = about if not isinstance(about, Hours) else ("/".join(about), None)
        late = self.signed_off_at is not None and entry.accepted_at > self.signed_off_at
        line = self.lines.add(about, entry.named, entry.gross)
        if entry.gross < 0:
            retained = self.account.credit(subject, entry.left, disputed)
        elif not entry.exempt and not late:
            retained = self.account.charge(subject, min(entry.gross, max(entry.left, 0)), entry.accepted_at, line)
        self.payable += entry.gross - retained


class _Entry(NamedTuple):
    """A line: of what, how it is called, its gross, and what is billed to date with it."""

    about: Key | Hours
    named: tuple[str, str, str]
    gross: int
    left: int
    accepted_at: int
    exempt: bool
