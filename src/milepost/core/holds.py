"""What is withheld and not paid out yet, one part a line, so that a line costs the same however many there were before.

The open holds are linked in the order in which they were raised; the account knows both ends and their sum. For each
release whose moment has come it also keeps how much is held to date, what was released included, on lines accepted by
then, so that a late line is paid out without looking at the others.
"""

from collections.abc import Iterator

from milepost.core.engagement import Engagement
from milepost.core.facts import Hold, Place, hold_key

__all__ = ["accepted_by", "hold", "spend", "take_back"]


def hold(engagement: Engagement, place: Place, identity: str, amount_minor: int, accepted_at: int) -> None:
    """Keep what a line withholds; `identity` is its retention event."""
    account, part = engagement.account, engagement.occurrence(place)
    account.holds += 1
    number = account.holds
    new = Hold(identity, 0, accepted_at, previous=account.last_hold)
    if account.last_hold:
        _at(engagement, account.last_hold).next = number
        engagement.staged.save(hold_key(engagement.name, account.last_hold), _at(engagement, account.last_hold))
    account.first_hold, account.last_hold = account.first_hold or number, number
    part.holds.append(number)
    engagement.save_occurrence(place, part)
    engagement.staged.save(hold_key(engagement.name, number), new)
    _change(engagement, number, new, amount_minor)


def take_back(engagement: Engagement, place: Place, amount_minor: int) -> None:
    """Let a credit take from what the occurrence's own lines withheld, the latest first, then from the others."""
    part = engagement.occurrence(place)
    while amount_minor and part.holds:
        own = engagement.staged.load(hold_key(engagement.name, part.holds[-1]), Hold)
        if own is not None:
            taken = min(amount_minor, own.amount_minor)
            _change(engagement, part.holds[-1], own, -taken)
            amount_minor -= taken
        if own is None or not own.amount_minor:  # paid out, or all of it taken
            part.holds.pop()
            engagement.save_occurrence(place, part)
    while amount_minor:
        number = engagement.account.last_hold
        latest = _at(engagement, number)
        taken = min(amount_minor, latest.amount_minor)
        _change(engagement, number, latest, -taken)
        amount_minor -= taken


def spend(engagement: Engagement, amount_minor: int, until: int, excess: bool = False) -> tuple[list[str], int]:
    """Pay out holds of lines accepted by `until`, the first raised first; there is enough.

    What is released stays held to date; an `excess` that a lower rate gives back does not.
    Returns the ids of their retention events, and when the last of those lines was accepted.
    """
    names: list[str] = []
    latest = -1
    for number, found in _open(engagement):
        if not amount_minor:
            break
        if found.accepted_at <= until:
            taken = min(amount_minor, found.amount_minor)
            names.append(found.retention_event_id)
            latest = max(latest, found.accepted_at)
            amount_minor -= taken
            _change(engagement, number, found, -taken, released=not excess)
    assert not amount_minor, f"{engagement.name}: more is released than was held on lines accepted by then"
    return names, latest


def accepted_by(engagement: Engagement, release: str, moment: int) -> int:
    """How much is held to date on lines accepted by the release's moment; counted once a moment.

    What was released before a moment was counted is taken to be of lines accepted by it: releases fire in the order of
    their moments, but where a sign-off comes to be known after a later day has passed.
    """
    account = engagement.account
    known = account.moments.get(release)
    if known is None or known[0] != moment:
        counted = sum(found.amount_minor for _, found in _open(engagement) if found.accepted_at <= moment)
        known = account.moments[release] = (moment, counted + account.released_minor - account.excess_minor)
    return known[1]


def _open(engagement: Engagement) -> Iterator[tuple[int, Hold]]:
    number = engagement.account.first_hold
    while number:
        found = _at(engagement, number)
        following = found.next
        yield number, found
        number = following


def _at(engagement: Engagement, number: int) -> Hold:
    found = engagement.staged.load(hold_key(engagement.name, number), Hold)
    assert found is not None, f"{engagement.name}: open hold {number} is not there"
    return found


def _change(engagement: Engagement, number: int, changed: Hold, delta: int, released: bool = False) -> None:
    """Add to what is held, in every sum; a hold of which nothing is left goes. What is `released` was held to date."""
    account, staged = engagement.account, engagement.staged
    changed.amount_minor += delta
    account.open_minor += delta
    for release, (moment, counted) in account.moments.items():
        if changed.accepted_at <= moment and not released:
            account.moments[release] = (moment, counted + delta)
    if changed.amount_minor:
        staged.save(hold_key(engagement.name, number), changed)
        return
    if changed.previous:
        before = _at(engagement, changed.previous)
        before.next = changed.next
        staged.save(hold_key(engagement.name, changed.previous), before)
    else:
        account.first_hold = changed.next
    if changed.next:
        after = _at(engagement, changed.next)
        after.previous = changed.previous
        staged.save(hold_key(engagement.name, changed.next), after)
    else:
        account.last_hold = changed.previous
    staged.delete(hold_key(engagement.name, number))
