"""Money withheld: cumulative per engagement, over the lines subject to it (rule 5)."""

from fractions import Fraction

from milepost.core import money
from milepost.core.facts import Account
from milepost.core.terms import Terms

__all__ = ["change", "held_now", "target"]


def held_now(account: Account) -> int:
    """What is withheld and not paid out, in minor units."""
    return account.held_minor - account.released_minor


def target(terms: Terms, subject_minor: int, original_value_minor: int | None) -> int:
    """What is to be withheld of the gross subject to date: each part at its own rate, rounded once, at most the cap."""
    exact, since = Fraction(0), Fraction(0)
    for until, rate in terms.rates:
        part = (subject_minor if until is None else min(until, Fraction(subject_minor))) - since
        if part <= 0:
            break
        exact += part * rate / 100
        since += part
    withheld = money.round_ratio(exact.numerator, exact.denominator, terms.rounding)
    cap = terms.cap_minor(original_value_minor)
    return withheld if cap is None else min(withheld, cap)


def change(account: Account, terms: Terms, subject_minor: int) -> int:
    """What a line adds to (or, negative, takes from) what is held; `subject_minor` of its gross is subject to it.

    A credit never takes more than is held, and never adds: what was released reduces nothing.
    """
    wanted = target(terms, account.subject_minor + subject_minor, account.original_value_minor) - account.held_minor
    change = max(wanted, -held_now(account))
    return min(change, 0) if subject_minor < 0 else change
