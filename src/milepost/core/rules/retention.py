"""Money withheld: cumulative per engagement, over the lines subject to it (rule 5)."""

from milepost.core import money
from milepost.core.facts import Account
from milepost.core.terms import Terms

__all__ = ["change", "held_now"]


def held_now(account: Account) -> int:
    """What is withheld and not paid out, in minor units."""
    return account.held_minor - account.released_minor


def change(account: Account, terms: Terms, subject_minor: int) -> int:
    """What a line adds to (or, negative, takes from) what is held, when the gross subject to date is `subject_minor`.

    A credit never takes more than is held: what was released reduces nothing.
    """
    target = money.percentage_of(subject_minor, terms.rate, terms.rounding)
    if terms.cap_minor is not None:
        target = min(target, terms.cap_minor)
    return max(target - account.held_minor, -held_now(account))
