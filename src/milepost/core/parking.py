"""Events that came too early wait here, in order and visible, and are tried again; nothing sent early is lost.

Each waits in a part of its own beside a small index, so that a thousand of them are neither one record that no broker
takes nor written again with every one that joins them.
"""

from hashlib import blake2b

import msgspec

from milepost.core.engagement import Engagement
from milepost.core.events import (
    ApprovalDecision,
    DisputeEvent,
    EngagementEvent,
    Event,
    MilestoneEvent,
    Received,
    RegulatorDecision,
    UsageEvent,
)
from milepost.core.facts import ParkedEvent, Parking, Waiting, parked_key, parking_key
from milepost.core.outputs import DeadLetter, MilestoneStatus, Output

__all__ = ["PARKED_BYTES", "PARKED_EVENTS", "park", "parked_names", "retry", "retry_lines"]

PARKED_EVENTS = 1_000  # of one engagement
PARKED_BYTES = 1 << 20
SHOWN = 20  # in a status; the audit trail names all of them

_encode = msgspec.msgpack.Encoder().encode


def park(engagement: Engagement, reason: str) -> list[Output]:
    """Keep the event until what it names is known; a dead letter if there is no room."""
    received, parking = engagement.received, _parking(engagement)
    event = _encode(received.event)
    digest = blake2b(event, digest_size=16).digest()
    if any(waiting.digest == digest for waiting in parking.waiting):
        engagement.audit("REFUSED", "DUPLICATE")
        engagement.save()
        return engagement.outputs
    if len(parking.waiting) >= PARKED_EVENTS or parking.bytes + len(event) > PARKED_BYTES:
        message = (
            f"engagement {engagement.name}: {len(parking.waiting)} events ({parking.bytes} bytes) wait already, "
            f"this one for {reason}; open or amend the engagement, then replay this record"
        )
        return [DeadLetter(reason="PARKING_FULL", message=message)]
    milestone = _milestone(received.event)
    parked = ParkedEvent(received.event, received.topic, received.partition, received.offset, received.recorded_at)
    engagement.staged.save(parked_key(engagement.name, len(parking.waiting)), parked)
    parking.waiting.append(Waiting(milestone, f"{reason} {engagement.cause}", digest, _line(received.event)))
    parking.bytes += len(event)
    engagement.staged.save(parking_key(engagement.name), parking)
    engagement.account.parked = len(parking.waiting)
    engagement.audit("PARKED", reason)
    if engagement.terms is None or milestone not in engagement.terms.signable:
        engagement.outputs.append(_unknown(engagement, milestone))
    engagement.save()
    return engagement.outputs


def retry(engagement: Engagement) -> list[Received]:
    """Take every parked event out, in order: the caller folds them again."""
    parking, staged, found = _parking(engagement), engagement.staged, []
    for place in range(len(parking.waiting)):
        key = parked_key(engagement.name, place)
        parked = staged.load(key, ParkedEvent)
        assert parked is not None, f"{engagement.name}: the index names a parked event that is not there"
        found.append(Received(parked.event, parked.topic, parked.partition, parked.offset, parked.recorded_at))
        staged.delete(key)
    staged.delete(parking_key(engagement.name))
    engagement.account.parked = 0
    engagement.save()
    for name in {waiting.milestone: None for waiting in parking.waiting}:
        if name not in engagement.agreed.signable:
            engagement.outputs.append(_unknown(engagement, name))  # nothing waits there any more
    return found


def retry_lines(engagement: Engagement, raised: set[str]) -> list[Received]:
    """Take out, in order, what waits for one of the lines that were raised."""
    parking, staged = _parking(engagement), engagement.staged
    if not any(waiting.line in raised for waiting in parking.waiting):
        return []
    kept: list[tuple[Waiting, ParkedEvent]] = []
    found: list[Received] = []
    for place, waiting in enumerate(parking.waiting):
        parked = staged.load(parked_key(engagement.name, place), ParkedEvent)
        assert parked is not None, f"{engagement.name}: the index names a parked event that is not there"
        staged.delete(parked_key(engagement.name, place))
        if waiting.line in raised:
            found.append(Received(parked.event, parked.topic, parked.partition, parked.offset, parked.recorded_at))
            parking.bytes -= len(_encode(parked.event))
        else:
            kept.append((waiting, parked))
    for place, (_, parked) in enumerate(kept):
        staged.save(parked_key(engagement.name, place), parked)
    parking.waiting = [waiting for waiting, _ in kept]
    staged.save(parking_key(engagement.name), parking)
    engagement.account.parked = len(kept)
    engagement.save()
    engagement.outputs.append(_unknown(engagement, ""))  # where disputes of unknown lines are shown
    return found


def _line(event: Event) -> str | None:
    return event.line_id if isinstance(event, DisputeEvent) else None


def parked_names(engagement: Engagement, milestone: str) -> list[str]:
    """What waits for the milestone: "REASON source/event_id", the first of them and how many more."""
    if not engagement.account.parked:
        return []
    names = [waiting.name for waiting in _parking(engagement).waiting if waiting.milestone == milestone]
    return names if len(names) <= SHOWN else [*names[:SHOWN], f"and {len(names) - SHOWN} more"]


def _parking(engagement: Engagement) -> Parking:
    return engagement.staged.load(parking_key(engagement.name), Parking) or Parking()


def _milestone(event: Event) -> str:
    """The milestone that an event waits for; the engagement as a whole is the empty one."""
    if isinstance(event, MilestoneEvent | ApprovalDecision | RegulatorDecision | UsageEvent):
        return event.milestone_id or ""
    return "@signoff" if isinstance(event, EngagementEvent) and event.change == "SIGNED_OFF" else ""


def _unknown(engagement: Engagement, milestone: str) -> MilestoneStatus:
    """The status of a milestone (or engagement) that the engine does not know yet: it shows what waits."""
    return MilestoneStatus(
        engagement_id=engagement.name,
        milestone_id=milestone,
        occurrence_id=None,
        state="PENDING",
        completion="0",
        billed_completion="0",
        missing=(),
        parked=tuple(parked_names(engagement, milestone)),
        at_stake_minor=0,
        currency=None,
        currency_exponent=None,
        submission=0,
        planned_on=None,
        reported_at=None,
        submitted_at=None,
        accepted_at=None,
        billed_at=None,
        disputed_minor=0,
    )
