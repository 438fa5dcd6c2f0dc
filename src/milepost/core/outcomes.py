"""What becomes of an event: one of five outcomes, the reason, and whom it concerns."""

from typing import NamedTuple

from milepost.core.facts import Place

__all__ = ["APPLIED", "DEAD", "PARKED", "REFUSED", "WAITING", "Intake", "parked", "refused"]

APPLIED, WAITING, REFUSED, PARKED, DEAD = "APPLIED", "WAITING", "REFUSED", "PARKED", "DEAD_LETTER"


class Intake(NamedTuple):
    """What became of an event: APPLIED, WAITING, REFUSED, PARKED or DEAD_LETTER, why, and whom it concerns."""

    what: str
    reason: str | None = None
    concerned: tuple[Place, ...] = ()
    message: str = ""
    decision: int | None = None  # the place of the decision that was added: the assessment says what it counts


def refused(reason: str) -> Intake:
    """Understood and without effect."""
    return Intake(REFUSED, reason)


def parked(reason: str) -> Intake:
    """Kept until what it names is known."""
    return Intake(PARKED, reason)
