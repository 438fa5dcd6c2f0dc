"""Hours become lines once a month (rule 22).

An entry is counted in the tally of its local month, rate and price as it arrives. A run is the first tick after the
opening, and the first of each new local month: it bills the difference of every month that has ended, one line per
month, rate and price, within the limit. A run that falls into a suspension is made up for when it ends.
"""

from fractions import Fraction
from hashlib import blake2b

import msgspec

from milepost.core import money
from milepost.core.calendar import END_OF_TIME, instant_text
from milepost.core.contract import Rate, TimeAndMaterials
from milepost.core.disputes import credit_hours
from milepost.core.engagement import Engagement
from milepost.core.events import EngagementEvent, Evidence, UsageEvent
from milepost.core.facts import Place, due_key
from milepost.core.hourly_lines import bill_tally, month_status
from milepost.core.hours import (
    MAX_CAUSES,
    TIME,
    Counted,
    Entry,
    Hours,
    Month,
    Revision,
    Tally,
    entries_of,
    entry_key,
    hours_key,
    month_key,
    months_of,
    tallied,
)
from milepost.core.rules import usage

__all__ = ["prepare", "recount", "settle", "take"]

_encode = msgspec.msgpack.Encoder().encode


def prepare(engagement: Engagement) -> None:
    """Note, as the contract is opened, that no tick was seen yet: the first one is a run."""
    if engagement.agreed.contract.time_and_materials is not None:
        engagement.staged.save(hours_key(engagement.name), Hours(opened_tick=engagement.last_tick))


def take(engagement: Engagement, event: UsageEvent) -> tuple[str, str | None]:
    """Count an entry: what became of it, and why if it has no effect."""
    key = entry_key(engagement.name, event.usage_id)
    entry = engagement.staged.load(key, Entry) or Entry()
    digest = _digest(event)
    known = entry.said.get(event.revision)
    if known is not None:
        return "REFUSED", "DUPLICATE" if known == digest else "CONFLICTING_VALUES"
    if event.revision > entry.revision:  # else what it names need not be known
        if event.milestone_id is not None:
            if event.milestone_id not in engagement.agreed.milestones:
                return "PARKED", "UNKNOWN_MILESTONE"
        elif _rate(engagement, event.meter, event.started_at) is None:
            return "PARKED", "UNKNOWN_METER"
    entry.said[event.revision] = digest
    elapsed = None if event.ended_at is None else event.ended_at - event.started_at
    in_force = entry.enter(
        Revision(event.revision, event.started_at, event.meter, event.quantity, elapsed, event.milestone_id)
    )
    engagement.staged.save(key, entry)
    if not in_force:
        return "REFUSED", "SUPERSEDED"
    _count(engagement, entry, engagement.cause)
    return "APPLIED", None


def recount(engagement: Engagement, amended: bool = False) -> None:
    """Count every entry anew: the end of the engagement is known now, or the terms changed (`amended`).

    Changed terms may have another limit: the next run looks at every month.
    """
    staged = engagement.staged
    for key in staged.keys(*entries_of(engagement.name)):
        entry = staged.load(key, Entry)
        if entry is None:
            continue
        left_out = entry.leave_out(engagement.until)
        if _count(engagement, entry, engagement.cause) or left_out:
            staged.save(key, entry)
    months = [key.decode().rpartition("/")[2] for key in staged.keys(*months_of(engagement.name))] if amended else []
    if months:
        hours = _hours(engagement)
        hours.changed, hours.totals = sorted(months), {}
        _schedule(engagement, hours)


def settle(engagement: Engagement, due: bool, disputed: tuple[str, ...]) -> None:
    """Bill what has ended if a run is due, or was while the engagement was suspended; credit the `disputed` months."""
    for month in disputed:
        _changed(engagement, month)  # a credit frees room within the limit
    if isinstance(engagement.received.event, EngagementEvent) and not engagement.account.suspended:
        disputed = tuple(_hours(engagement).changed)
    for month in disputed:
        credit_hours(engagement, month)
    if not due and not isinstance(engagement.received.event, EngagementEvent):
        return
    hours = _hours(engagement)
    if due:
        hours.due_at, hours.waiting = None, True
        engagement.staged.save(hours_key(engagement.name), hours)
    if hours.waiting and not engagement.account.suspended:
        hours.waiting = False
        _run(engagement, hours)
        if hours.changed:
            _schedule(engagement, hours)


def _digest(event: UsageEvent) -> bytes:
    quantity = None if event.quantity is None else money.canonical(event.quantity)
    content = (
        event.meter,
        quantity,
        event.started_at,
        event.ended_at,
        event.worker,
        event.timesheet_id,
        event.milestone_id,
        event.evidence,
    )
    return blake2b(_encode(content), digest_size=8).digest()


def _terms(engagement: Engagement, at: int) -> TimeAndMaterials | None:
    """What the version in force at the instant says of hours."""
    return engagement.agreed.at(at).contract.time_and_materials


def _rate(engagement: Engagement, meter: str, at: int) -> Rate | None:
    """The rate in force when the work started."""
    terms = _terms(engagement, at)
    return None if terms is None else terms.rates.get(meter)


def _hours(engagement: Engagement) -> Hours:
    return engagement.staged.load(hours_key(engagement.name), Hours) or Hours()


def _counted(engagement: Engagement, entry: Entry) -> Counted | None:
    """What the tallies are to hold of an entry; nothing of one that is not billed by the hour."""
    rate = _rate(engagement, entry.meter, entry.at)
    if rate is None or entry.milestone is not None or entry.at > engagement.until:
        return None
    quantity = usage.quantity_of(entry.quantity, entry.elapsed, rate.unit)
    month = usage.month_of(entry.at, engagement.agreed.zone)
    return Counted(month, entry.meter, rate.price, str(quantity))


def _count(engagement: Engagement, entry: Entry, cause: str) -> bool:
    """Move an entry from the tally that holds it to the one that is to; whether anything moved."""
    before, after = entry.counted, _counted(engagement, entry)
    if before == after:
        return False
    entry.counted = after
    for counted, sign in ((before, -1), (after, 1)):
        if counted is not None:
            month = tallied(engagement, counted.month)
            tally = _tally(engagement, month, counted, entry.at)
            tally.quantity = str(Fraction(tally.quantity) + sign * Fraction(counted.quantity))
            _blame(tally, cause, engagement.evidence())
            engagement.staged.save(month_key(engagement.name, counted.month), month)
            _changed(engagement, counted.month)
    return True


def _tally(engagement: Engagement, month: Month, counted: Counted, at: int) -> Tally:
    for tally in month.tallies:
        if (tally.meter, tally.price) == (counted.meter, counted.price):
            return tally
    rate = _rate(engagement, counted.meter, at)
    month.tallies.append(Tally(counted.meter, counted.price, rate.unit if rate else "HUR"))
    return month.tallies[-1]


def _blame(tally: Tally, cause: str, evidence: tuple[Evidence, ...]) -> None:
    """Keep whom the next line names, and what they prove: the first in their order, so that arrival changes nothing."""
    if cause not in tally.causes:
        tally.changes += 1
        tally.causes = sorted([*tally.causes, cause])[:MAX_CAUSES]
    documents = {(item.name, item.sha256): item for item in (*tally.evidence, *evidence)}
    tally.evidence = [documents[key] for key in sorted(documents)][:MAX_CAUSES]


def _changed(engagement: Engagement, month: str) -> None:
    hours = _hours(engagement)
    if month not in hours.changed:
        hours.changed = sorted([*hours.changed, month])
        _schedule(engagement, hours)


def _schedule(engagement: Engagement, hours: Hours) -> None:
    """See to it that the next run takes place; an engagement without changed months costs no tick."""
    if hours.due_at is None and not hours.waiting:
        tick, zone = engagement.last_tick, engagement.agreed.zone
        if _is_missed(engagement, hours):
            hours.waiting = True
        else:
            hours.due_at = usage.month_end(usage.month_of(tick, zone), zone) if _is_seen(hours, tick) else 0
            engagement.staged.save(due_key(hours.due_at, engagement.name, Place(TIME)), b"")
    engagement.staged.save(hours_key(engagement.name), hours)


def _is_seen(hours: Hours, tick: int) -> bool:
    """Whether a tick came after the opening; where only an amendment agreed on hours, any was, if there was one."""
    return tick > (-END_OF_TIME if hours.opened_tick is None else hours.opened_tick)


def _is_missed(engagement: Engagement, hours: Hours) -> bool:
    """Whether a run fell into the suspension that lasts: the first tick, or the first of a month."""
    before, tick, zone = engagement.account.suspended_tick, engagement.last_tick, engagement.agreed.zone
    if not engagement.account.suspended or tick == before:
        return False
    return not _is_seen(hours, before) or usage.month_of(tick, zone) > usage.month_of(before, zone)


def _run(engagement: Engagement, hours: Hours) -> None:
    """Bring every month that changed and has ended, and with a limit what follows from it, from billed to worth."""
    zone, now = engagement.agreed.zone, engagement.last_tick
    terms = _terms(engagement, now)
    limit = terms.not_to_exceed_minor if terms is not None else None
    ended = {month for month in hours.changed if usage.month_end(month, zone) <= now}
    if not ended:
        return
    cause = f"tick:{instant_text(now)}"
    order = list(terms.rates) if terms is not None else []
    hours.changed = [month for month in hours.changed if month not in ended]
    if limit is None:
        for month in sorted(ended):
            _bill_month(engagement, month, order, None, 0, cause)
        hours.totals = {}
        return
    before = total = 0  # billed with the months so far: before this run, and now
    for month in sorted(ended.union(hours.totals)):
        was = hours.totals.get(month, before)
        touched = month in ended or total != before
        total = _bill_month(engagement, month, order, limit, total, cause) if touched else was
        before = was
        hours.totals[month] = total


def _bill_month(engagement: Engagement, month: str, order: list[str], limit: int | None, total: int, cause: str) -> int:
    """Bill a month's differences; returns the total to date with it, which the limit holds down."""
    part = tallied(engagement, month)
    over = 0
    for tally in sorted(part.tallies, key=lambda tally: _place(tally, order)):
        bill_tally(engagement, month, part, tally, limit, total, cause)
        total += tally.billed_minor
        over += tally.over_minor
    month_status(engagement, month, part, over, limit)
    engagement.staged.save(month_key(engagement.name, month), part)
    return total


def _place(tally: Tally, order: list[str]) -> tuple[int, Fraction, str]:
    """In the order of the contract's rates, then from the lowest price to the highest."""
    place = order.index(tally.meter) if tally.meter in order else len(order)
    return place, money.ratio(tally.price), f"{tally.meter} {tally.price}"
