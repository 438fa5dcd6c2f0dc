"""What the state of a fold says of a line of hours: the entries, their sum, the price, what the limit leaves."""

from collections.abc import Sequence
from fractions import Fraction

from milepost.audit.told import belongs, tally_of
from milepost.audit.wording import Money, instant, number
from milepost.core import money
from milepost.core.engagement import Engagement
from milepost.core.hours import Entry, Tally, entries_of, months_of, tallied
from milepost.core.outputs import InvoiceLine
from milepost.core.rules import usage

__all__ = ["tell_hours"]

_SHOWN = 12  # entries that are added up before the eyes; of more only how many there are


def tell_hours(engagement: Engagement, line: InvoiceLine, before: Sequence[InvoiceLine]) -> tuple[list[str], list[str]]:
    """When the month was over, and what its hours are worth to date; no worth that is not what was billed."""
    unit = Money.of(engagement.agreed.contract)._replace(rounding=engagement.agreed.rounding)
    if line.kind != "TIME_AND_MATERIALS":
        return [], [f"a dispute was upheld: {unit.text(-line.gross_minor)} of line {line.corrects_line_id}, for good"]
    month, meter, price = tally_of(line)
    gates = [f"{month} is over, since {instant(line.accepted_at)}"]
    found = (t for t in tallied(engagement, month or "").tallies if (t.meter, t.price) == (meter, price))
    tally = next(found, None)
    if tally is None:
        return gates, []
    known = {one.line_id: one for one in before}
    allowed = line.gross_minor + sum(one.gross_minor for one in before if belongs(one, line, known))
    exact = Fraction(tally.quantity) * money.ratio(price) * int(10**unit.exponent)
    worth = usage.amount_minor(Fraction(tally.quantity), price, unit.exponent, unit.rounding)
    steps = [
        _sum(engagement, month or "", tally),
        f"{number(Fraction(tally.quantity))} {tally.unit} x {price} {unit.currency} = {unit.rounded(exact)[0]}",
    ]
    limited = _limited(engagement, month or "", tally, worth)
    if limited is not None and limited[0] < worth:
        worth = limited[0]
        steps.append(f"{limited[1]} = at most {unit.text(worth)}")
    took = sum(amount for _, amount in tally.taken)
    if took:
        worth = max(min(0, worth), worth - took)
        steps.append(f"less {unit.text(took)} that disputes took, for good")
    return gates, steps if worth == allowed else []


def _sum(engagement: Engagement, month: str, tally: Tally) -> str:
    """The entries that count, one by one if they are few; summed exactly."""
    staged = engagement.staged
    entries = (staged.load(key, Entry) for key in staged.keys(*entries_of(engagement.name)))
    counted = [
        Fraction(entry.counted.quantity)
        for entry in entries
        if entry is not None
        and entry.counted is not None
        and (entry.counted.month, entry.counted.meter, entry.counted.price) == (month, tally.meter, tally.price)
    ]
    entries_text = f"{len(counted)} entries" if len(counted) != 1 else "one entry"
    total = f"{number(Fraction(tally.quantity))} {tally.unit}"
    if 1 < len(counted) <= _SHOWN:
        return f"{entries_text} of {tally.meter}: {' + '.join(map(number, counted))} = {total}"
    return f"{entries_text} of {tally.meter}: {total}"


def _limited(engagement: Engagement, month: str, tally: Tally, worth: int) -> tuple[int, str] | None:
    """What `not_to_exceed` leaves of the worth, and how; None without a limit."""
    terms = engagement.agreed.at(engagement.last_tick).contract.time_and_materials
    if terms is None or terms.not_to_exceed_minor is None:
        return None
    unit = Money.of(engagement.agreed.contract)
    order = list(terms.rates)
    used = 0
    months = (key.decode().rpartition("/")[2] for key in engagement.staged.keys(*months_of(engagement.name)))
    for name in sorted(months):
        if name <= month:
            ahead = tallied(engagement, name).tallies
            used += sum(t.billed_minor for t in ahead if name < month or _rank(t, order) < _rank(tally, order))
    limit = terms.not_to_exceed_minor
    said = f"not to exceed {unit.text(limit)} - {unit.text(used)} billed before it, in the order of months and rates,"
    return min(worth, max(0, limit - used)), said


def _rank(tally: Tally, order: list[str]) -> tuple[int, Fraction, str]:
    """In the order of the contract's rates, then from the lowest price to the highest, as the limit is spent."""
    place = order.index(tally.meter) if tally.meter in order else len(order)
    return place, money.ratio(tally.price), f"{tally.meter} {tally.price}"
