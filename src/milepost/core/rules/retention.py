"""Money withheld: cumulative per engagement, over the lines subject to it (rule 5)."""

from collections.abc import Mapping
from fractions import Fraction

from milepost.core import money
from milepost.core.facts import Account
from milepost.core.terms import Terms

__all__ = ["change", "excess", "held_now", "target"]


def held_now(account: Account) -> int:
    """What is withheld and not paid out, in minor units."""
    return account.held_minor - account.released_minor


def target(terms: Terms, subject_by: Mapping[int, int], original_value_minor: int | None) -> int:
    """What is to be withheld of the gross subject to date: each part at its own rate, rounded once, at most the cap.

    `subject_by`: gross by the version in whose time it was accepted, in minor units.
    """
    exact, since = Fraction(0), Fraction(0)
    for version, gross in sorted(subject_by.items()):
        exact += _withheld(terms.withheld_by(version), since, since + gross)
        since += gross
    withheld = money.round_ratio(exact.numerator, exact.denominator, terms.rounding)
    cap = terms.cap_minor(original_value_minor)
    return withheld if cap is None else min(withheld, cap)


def _withheld(terms: Terms, since: Fraction, until: Fraction) -> Fraction:
    """What one version withholds of the gross from `since` to `until`, both counted from the first line."""
    exact, step = Fraction(0), Fraction(0)
    for end, rate in terms.rates:
        low, high = max(step, since), until if end is None else min(end, until)
        if high > low:
            exact += (high - low) * rate / 100
        step = high if end is None else end
    return exact


def excess(account: Account, terms: Terms) -> int:
    """What is held beyond what the terms withhold now; only a version that governs what was billed brings it about."""
    if all(version.mode != "catch_up" for version in terms.versions[1:]):
        return 0
    wanted = target(terms, account.subject_by, account.original_value_minor)
    return max(0, min(account.held_minor - account.excess_minor - wanted, held_now(account)))


def change(account: Account, terms: Terms, subject_minor: int, version: int) -> int:
    """What a line adds to (or, negative, takes from) what is held; `subject_minor` of its gross is subject to it.

    `version`: in whose time its gross was accepted.

    A credit never takes more than is held, and never adds: what was released reduces nothing.
    """
    subject_by = {**account.subject_by, version: account.subject_by.get(version, 0) + subject_minor}
    wanted = target(terms, subject_by, account.original_value_minor)
    change = max(wanted - (account.held_minor - account.excess_minor), -held_now(account))
    return min(change, 0) if subject_minor < 0 else change
