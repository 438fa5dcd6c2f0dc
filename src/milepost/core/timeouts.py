"""Ticks and what was asked for: deadlines fire, reminders come due, and the next of them is put into the index.

What fired is kept with the deadline and the tick, beside the other facts: the walk over them takes it back where a
decision dated in time arrives later (rule 16).
"""

from collections.abc import Iterator

from milepost.core import amendments
from milepost.core.calendar import END_OF_TIME
from milepost.core.claims import Assessment, Submission
from milepost.core.engagement import Engagement
from milepost.core.facts import Occurrence, Place, due_key
from milepost.core.signing import SIGNOFF, is_signable, submitted
from milepost.core.terms import AMENDMENT

__all__ = ["asked", "awaits", "fire", "next_reminder", "passed_reminders", "schedule"]


def awaits(engagement: Engagement, place: Place) -> bool:
    """Whether signatures are still asked for: not for what was dropped, after a termination for the sign-off only."""
    if engagement.account.terminated_at is not None:
        return place == SIGNOFF
    return not engagement.dropped(place)


def asked(engagement: Engagement, place: Place, found: Assessment) -> Iterator[tuple[Submission, int]]:
    """The steps (counted from 0) that somebody is to sign now."""
    if awaits(engagement, place):
        yield from _open(found)


def _open(found: Assessment) -> Iterator[tuple[Submission, int]]:
    for submission in found.submissions:
        if submission.alive:
            for step in submission.ballot.open_steps():
                yield submission, step


def fire(engagement: Engagement, place: Place, tick: int) -> None:
    """Keep what the tick fires, of each step one stage: of what waits as it comes, not of what it brings about."""
    if not (is_signable(place) or place.milestone in engagement.agreed.milestones):
        return
    part, account = engagement.occurrence(place), engagement.account
    if not part.timers or account.suspended or (account.terminated_at is not None and place != SIGNOFF):
        return
    if place.milestone == AMENDMENT:
        found = amendments.submitted(engagement, place)
    else:
        found = submitted(engagement, place) if is_signable(place) else engagement.assess(place)
    for submission, step in _open(found):
        ballot = submission.ballot
        fires_at, deadline = ballot.fires_at(step), ballot.deadline(step)
        timer = part.timers.get(ballot.key(step))
        if timer is not None and deadline is not None and fires_at is not None and fires_at <= tick:
            timer.fired = [*timer.fired[: ballot.stage(step)], (deadline, tick)]
            engagement.save_occurrence(place, part)


def schedule(engagement: Engagement, place: Place, part: Occurrence, found: Assessment) -> bool:
    """Put the next instant at which a tick has something to do here into the index; True if there is another one now.

    What it replaces comes to nothing when its tick comes. While the engagement is suspended there is none.
    """
    instants = [END_OF_TIME]
    if part.timers and not engagement.account.suspended:
        for submission, step in asked(engagement, place, found):
            fires_at = submission.ballot.fires_at(step)
            reminder = next_reminder(part, submission, step)
            instants += [at for at in (fires_at, reminder) if at is not None]
    due = min(instants)
    if due < END_OF_TIME and (due != part.due or due <= engagement.last_tick):
        engagement.staged.save(due_key(due, engagement.name, place), b"")
    before, part.due = part.due, due if due < END_OF_TIME else None
    return part.due != before


def next_reminder(part: Occurrence, submission: Submission, step: int) -> int | None:
    """When a step's next reminder is due; None where it has none."""
    return submission.ballot.reminder(step, _reminded(part, submission, step) + 1)


def passed_reminders(part: Occurrence, submission: Submission, step: int, at: int) -> int:
    """How many of a step's reminders are due by `at`."""
    reminder = submission.ballot.reminder
    low = _reminded(part, submission, step)
    high = low + 1
    while (due := reminder(step, high)) is not None and due <= at:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        due = reminder(step, middle)
        low, high = (middle, high) if due is not None and due <= at else (low, middle)
    return low


def _reminded(part: Occurrence, submission: Submission, step: int) -> int:
    timer = part.timers.get(submission.ballot.key(step))
    return timer.reminded if timer else 0
