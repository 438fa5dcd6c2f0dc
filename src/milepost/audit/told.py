"""What is known of a line, or of what is missing, beyond the records that were raised: gates, signatures, how much.

It comes from the state of a fold (`telling.py`) or, where only records are kept, from those (`recorded.py`).
"""

from typing import NamedTuple

from milepost.core.outputs import InvoiceLine
from milepost.core.terms import Terms

__all__ = ["Told", "Withheld", "belongs", "tally_of"]


class Withheld(NamedTuple):
    """What retention is computed by beside the lines; amounts are minor units."""

    terms: Terms
    original_minor: int | None  # the contract's value as opened
    excess_minor: int = 0  # what a lower rate gave back
    signoff_at: int | None = None  # what was accepted later is not subject


class Told(NamedTuple):
    """Sentences about one line; what is empty is not known, or there is none."""

    gates: list[str]
    worth: list[str]  # how the amount to date, before what was billed, comes about
    submissions: frozenset[int]  # those whose signatures the line rests on
    signed: list[str]
    withheld: Withheld | None


def tally_of(line: InvoiceLine) -> tuple[str | None, str, str]:
    """Month, meter and price of a line of hours."""
    return line.occurrence_id, line.description.rpartition(f", {line.occurrence_id}")[0], line.unit_price


def belongs(one: InvoiceLine, line: InvoiceLine, before: dict[str, InvoiceLine]) -> bool:
    """Whether a line counts for what was billed before of another's effect; `before`: lines by their ids."""
    if one.kind == "RETENTION_RELEASE" or one.milestone_id != line.milestone_id:
        return False
    if line.milestone_id is not None:
        return one.occurrence_id == line.occurrence_id
    charges = [found for found in (_charge(one, before), _charge(line, before)) if found is not None]
    return len(charges) == 2 and tally_of(charges[0]) == tally_of(charges[1])


def _charge(line: InvoiceLine, known: dict[str, InvoiceLine]) -> InvoiceLine | None:
    """A line of hours itself; of a credit that a dispute brought the line that it corrects."""
    if line.kind == "TIME_AND_MATERIALS":
        return line
    return known.get(line.corrects_line_id or "")
