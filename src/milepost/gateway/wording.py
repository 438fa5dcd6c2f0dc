"""Amounts, times and outcomes as the people who sign read them."""

from milepost.core.calendar import END_OF_TIME, local_date, local_time, start_of_day
from milepost.core.money import format_minor
from milepost.core.outputs import AuditEntry
from milepost.core.reasons import sentence

__all__ = ["AWAY", "CLOSED", "KEPT", "OPENS_NOTHING", "amount", "deadline", "moment", "outcome", "size"]

_UTC = "UTC"


def amount(minor: int, exponent: int, currency: str) -> str:
    """ "50,000.00 EUR"; a minus sign where money goes back."""
    whole, dot, fraction = format_minor(abs(minor), exponent).partition(".")
    sign = "\N{MINUS SIGN}" if minor < 0 else ""
    return f"{sign}{int(whole):,}{dot}{fraction} {currency}"


def moment(instant: int, zone: str | None) -> str:
    """ "Friday 29 May 2026, 14:00 (Europe/Berlin)"."""
    at = local_time(instant, zone or _UTC)
    return f"{at:%A} {at.day} {at:%B} {at.year}, {at:%H:%M} ({zone or _UTC})"


def deadline(instant: int | None, zone: str | None) -> str | None:
    """The last moment to answer in time: a day that counts to its end is named as a day; None where there is none."""
    if instant is None or instant >= END_OF_TIME:
        return None
    place = zone or _UTC
    if start_of_day(local_date(instant, place), place) != instant:
        return f"before {moment(instant, zone)}"
    last = local_date(instant - 1, place)
    return f"by the end of {last:%A} {last.day} {last:%B} {last.year} ({place})"


def size(size_bytes: int) -> str:
    """ "482 kB"."""
    if size_bytes < 1000:
        return f"{size_bytes} bytes"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.0f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


# What is said to a person who decided, where the sentence for everybody would be less exact.
_REASONS = {
    "SEPARATION_OF_DUTIES": "The contract asks for different people: whoever reported the work, or signed another "
    "step, cannot complete it alone.",
    "STALE_SUBMISSION": "It was for a submission that had been replaced by then.",
    "NOT_OPEN": "The submission was no longer open, or its step was not open yet.",
    "OUTSIDE_WINDOW": "It came after the deadline.",
    "NOT_IN_ROLE": "You did not hold the role at that time; it counts if the contract gives you the role for it.",
    "EVIDENCE_MISSING": "The contract asks for evidence that was not attached.",
}
_OUTCOMES = {
    "APPLIED": "Counted",
    "WAITING": "Kept, and waiting",
    "PARKED": "Kept, and waiting",
    "REFUSED": "Without effect",
}


def outcome(entry: AuditEntry | None) -> tuple[str, str]:
    """What became of a decision: a word or two, and a sentence."""
    if entry is None:
        return "Being processed", "Kafka has it. What came of it shows here as soon as the ledger knows; look again."
    word = _OUTCOMES.get(entry.what, entry.what)
    if entry.reason is None:
        return word, "It is part of the engagement's audit trail."
    return word, _REASONS.get(entry.reason) or sentence(entry.reason) or f"The reason is {entry.reason}."


KEPT = (
    "Kept, and on its way",
    (
        "Your decision was taken, with the time at which you sent it, but the system that records it did not answer. "
        "It is sent again by itself; look again in a few minutes. This link can decide nothing else any more."
    ),
)
"""Heading and explanation of a decision that Kafka is not known to have."""

AWAY = ("Not now", "Something that this page needs cannot be reached. Nothing was decided; please try again.")
"""Heading and explanation while the database is away."""

OPENS_NOTHING = (
    "This link opens nothing",
    "It may have been cut off in the mail, or it is no longer valid. Ask whoever sent it for a new one.",
)
"""Heading and explanation of what is no link."""

CLOSED = {
    "EXPIRED": ("This link has expired", "Links open for a limited time. Ask whoever sent it for a new one."),
    "UNKNOWN": ("Not ready yet", "The request is on its way and not here yet; that takes seconds. Please try again."),
    "NOT_IN_ROLE": (
        "You do not hold this role any more",
        "The contract in force gives the role to other people, who are asked instead. Nothing was decided.",
    ),
    "GRANTED": (
        "Already signed",
        "This step has all the signatures that it needs. Nothing is left to decide here.",
    ),
    "DEEMED": (
        "Too late: accepted by silence",
        (
            "The deadline passed without an answer, and the contract takes that as acceptance. What is wrong with the "
            "work can still be disputed on the invoice line."
        ),
    ),
    "REJECTED": (
        "Already rejected",
        "Somebody rejected this submission, which ended it. Nothing is left to decide here.",
    ),
    "TIMED_OUT": (
        "Too late: the request timed out",
        (
            "The deadline passed without an answer, and the contract takes that as a rejection. The supplier may hand "
            "the work in again."
        ),
    ),
    "SUPERSEDED": (
        "This submission was replaced",
        "What you were asked to sign was changed or taken back. A decision on it would have no effect.",
    ),
}
"""Heading and explanation of a link that decides nothing, by its standing."""
