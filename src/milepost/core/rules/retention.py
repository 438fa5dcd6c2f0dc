"""Money withheld: cumulative per engagement, over the lines subject to it (rule 5)."""

from collections.abc import Mapping
from fractions import Fraction

from milepost.core import money
from milepost.core.facts import Account
from milepost.core.terms import Terms

__all__ = ["change", "excess", "held_now", "target", "together"]


def held_now(account: Account) -> int:
    """What is withheld and not paid out, in minor units."""
    return account.held_minor - account.released_minor


def together(subject_by: Mapping[int, int], parts: Mapping[int, int]) -> dict[int, int]:
    """What is subject to retention by version, with what a line adds or takes."""
    return {**subject_by, **{version: subject_by.get(version, 0) + part for version, part in parts.items()}}


def target(terms: Terms, subject_by: Mapping[int, int], original_value_minor: int | None) -> int:
    """What is to be withheld of the gross subject to date: each part at its own rate, rounded once, at most the cap.

    `subject_by`: gross by the version in whose time it was accepted, in minor units.
    """
    versions = {version.contract.version: version for version in terms.versions}
    exact, since = Fraction(0), Fraction(0)
    for version, gross in sorted(subject_by.items()):
        exact += _withheld(versions[version], since, since + gross)
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
    """What is held beyond what the terms withhold of everything."""
    wanted = target(terms, account.subject_by, account.original_value_minor)
    return max(0, min(account.held_minor - account.excess_minor - wanted, held_now(account)))


def change(account: Account, terms: Terms, parts: Mapping[int, int]) -> int:
    """What a line adds to (or, negative, takes from) what is held.

    `parts`: what of its gross is subject to it, by the version in whose time it was accepted.

    A credit never takes more than is held, and never adds: what was released reduces nothing.
    """
    wanted = target(terms, together(account.subject_by, parts), account.original_value_minor)
    change = max(wanted - (account.held_minor - account.excess_minor), -held_now(account))
    return min(change, 0) if min(parts.values()) < 0 else change
