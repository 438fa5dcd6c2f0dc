"""A month's hours at one rate and price: what they are worth, the line that bills the difference, its status."""

from datetime import timedelta
from fractions import Fraction
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from milepost.core import money
from milepost.core.engagement import Engagement
from milepost.core.facts import Place
from milepost.core.hours import TIME, Month, Tally
from milepost.core.lines import draft
from milepost.core.outputs import MilestoneStatus, Missing
from milepost.core.posting import corrected, credit, post, subject_of
from milepost.core.rules import usage

__all__ = ["bill_tally", "month_status"]

_DAY = timedelta(days=1)
_encode = msgspec.msgpack.Encoder().encode


def bill_tally(
    engagement: Engagement, month: str, part: Month, tally: Tally, limit: int | None, total: int, cause: str
) -> None:
    """Raise the line that brings the tally from billed to worth, within what `total` leaves of the limit.

    `tally.over_minor` says what is above the limit, in minor units.
    """
    worth = _amount(engagement, tally, Fraction(tally.quantity))
    within = worth if limit is None else min(worth, max(0, limit - total))
    # what a dispute took stays taken, and takes no more than there is
    allowed = max(min(0, within), within - sum(taken for _, taken in tally.taken))
    gross = allowed - tally.billed_minor
    if gross:
        _raise(engagement, month, tally, gross, allowed, cause)
    over = worth - within
    if over > tally.over_minor:
        engagement.audit("WAITING", "NOT_TO_EXCEED")
    tally.over_minor = over
    if gross or not over:
        tally.causes, tally.changes, tally.evidence = [], 0, []


def _amount(engagement: Engagement, tally: Tally, quantity: Fraction) -> int:
    contract = engagement.agreed.contract
    return usage.amount_minor(quantity, tally.price, contract.currency_exponent, engagement.agreed.rounding)


def _quantity(engagement: Engagement, tally: Tally, gross: int, allowed: int) -> Fraction:
    """The hours that a line bills: the difference, or where a limit or a dispute decides, what the gross pays for."""
    now, before = Fraction(tally.quantity), Fraction(tally.billed_quantity)
    plain = allowed == _amount(engagement, tally, now) and tally.billed_minor == _amount(engagement, tally, before)
    if plain and (now - before > 0) == (gross > 0):
        return now - before
    return Fraction(gross, int(10**engagement.agreed.contract.currency_exponent)) / money.ratio(tally.price)


def _raise(engagement: Engagement, month: str, tally: Tally, gross: int, allowed: int, cause: str) -> None:
    terms = engagement.agreed
    contract, place, effect = terms.contract, Place("", month), f"tm:{tally.meter}:{tally.price}"
    at = usage.month_end(month, terms.zone)
    quantity = _quantity(engagement, tally, gross, allowed)
    first = tally.lines == 0
    tally.lines += 1
    line = draft(contract, place, effect, tally.lines, kind="TIME_AND_MATERIALS", gross=gross, at=at)
    more = tally.changes > len(tally.causes)
    line = replace(
        line,
        quantity=usage.quantity_text(quantity, terms.rounding),
        unit_code=tally.unit,
        unit_price=tally.price,
        description=f"{tally.meter}, {month}{'' if first else ' (corrected)'}",
        service_from=usage.first_day(month),
        service_to=usage.first_day(usage.next_month(month)) - _DAY,
        corrects_line_id=corrected(engagement, place, effect, tally.charge_revision) if gross < 0 else None,
        caused_by=tuple(sorted({*tally.causes, cause})),
        evidence=tuple(tally.evidence),
        attributes={**line.attributes, **({"usage_entries": str(tally.changes)} if more else {})},
    )
    withheld = not terms.withholding(at).exempts("time_and_materials")
    subject = subject_of(engagement, withheld, tally.billed_minor, tally.subject_minor, gross, at)
    post(engagement, place, effect, line, subject, (effect, tally.lines))
    if gross > 0:
        tally.charge_revision = tally.lines
    else:
        credit(engagement, place, effect, tally.lines - 1, -gross)
    tally.billed_minor += gross
    tally.subject_minor += subject
    tally.billed_quantity = tally.quantity


def month_status(engagement: Engagement, month: str, part: Month, over: int, limit: int | None) -> None:
    """State what of a month is above the limit or disputed, when that changed; nothing of a month without either."""
    contract = engagement.agreed.contract
    if not (over or part.disputed_minor or part.status_digest):
        return
    missing: tuple[Missing, ...] = ()
    if over and limit is not None:
        above, most = (money.format_minor(minor, contract.currency_exponent) for minor in (over, limit))
        missing = (Missing(gate="not_to_exceed", detail=f"{above} is above the limit of {most}", since=None),)
    status = MilestoneStatus(
        engagement_id=engagement.name,
        milestone_id=TIME,
        occurrence_id=month,
        state="ACCEPTED" if over else "BILLED",
        completion="100",
        billed_completion="100",
        missing=missing,
        parked=(),
        at_stake_minor=over,
        currency=contract.currency,
        currency_exponent=contract.currency_exponent,
        submission=0,
        planned_on=None,
        reported_at=None,
        submitted_at=None,
        accepted_at=usage.month_end(month, engagement.agreed.zone),
        billed_at=None,
        disputed_minor=part.disputed_minor,
    )
    digest = blake2b(_encode(status), digest_size=8).digest()
    if digest != part.status_digest:
        part.status_digest = digest
        engagement.outputs.append(status)
