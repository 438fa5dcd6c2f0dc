"""Events that came too early wait here, in order and visible, and are tried again; nothing sent early is lost."""

import msgspec

from milepost.core.engagement import Engagement, Received
from milepost.core.events import ApprovalDecision, EngagementEvent, MilestoneEvent, RegulatorDecision, UsageEvent
from milepost.core.facts import ParkedEvent, Parking, parking_key
from milepost.core.outputs import DeadLetter, MilestoneStatus, Output

__all__ = ["PARKED_BYTES", "PARKED_EVENTS", "park", "parked_names", "retry"]

PARKED_EVENTS = 1_000  # of one engagement
PARKED_BYTES = 1 << 20

_encode = msgspec.msgpack.Encoder().encode


def park(engagement: Engagement, reason: str) -> list[Output]:
    """Keep the event until what it names is known; a dead letter if there is no room."""
    received = engagement.received
    waiting = ParkedEvent(
        received.event, reason, received.topic, received.partition, received.offset, received.recorded_at
    )
    parking = _parking(engagement)
    if any(_same(waiting, known) for known in parking.events):
        engagement.audit("REFUSED", "DUPLICATE")
        engagement.save()
        return engagement.outputs
    size = len(_encode(waiting))
    if len(parking.events) >= PARKED_EVENTS or parking.bytes + size > PARKED_BYTES:
        message = (
            f"engagement {engagement.name}: {len(parking.events)} events ({parking.bytes} bytes) wait already, "
            f"this one for {reason}; open or amend the engagement, then replay this record"
        )
        return [DeadLetter(reason="PARKING_FULL", message=message)]
    parking.events.append(waiting)
    parking.bytes += size
    engagement.staged.save(parking_key(engagement.name), parking)
    engagement.account.parked = len(parking.events)
    engagement.audit("PARKED", reason)
    milestone = _milestone(waiting)
    if engagement.terms is None or milestone not in engagement.terms.milestones:
        engagement.outputs.append(_unknown(engagement, milestone))
    engagement.save()
    return engagement.outputs


def retry(engagement: Engagement) -> list[Received]:
    """Take every parked event out, in order: the caller folds them again."""
    parking = _parking(engagement)
    engagement.staged.delete(parking_key(engagement.name))
    engagement.account.parked = 0
    engagement.save()
    for name in {_milestone(p): None for p in parking.events}:
        if name not in engagement.agreed.milestones:
            engagement.outputs.append(_unknown(engagement, name))  # nothing waits there any more
    return [Received(p.event, p.topic, p.partition, p.offset, p.recorded_at) for p in parking.events]


def parked_names(engagement: Engagement, milestone: str) -> list[str]:
    """What waits for the milestone: "REASON source/event_id"."""
    if not engagement.account.parked:
        return []
    return [_name(p) for p in _parking(engagement).events if _milestone(p) == milestone]


def _parking(engagement: Engagement) -> Parking:
    return engagement.staged.load(parking_key(engagement.name), Parking) or Parking()


def _same(left: ParkedEvent, right: ParkedEvent) -> bool:
    return left.event == right.event


def _name(parked: ParkedEvent) -> str:
    event = parked.event
    return f"{parked.reason} {getattr(event, 'source', '')}/{getattr(event, 'event_id', '')}"


def _milestone(parked: ParkedEvent) -> str:
    """The milestone that an event waits for; the engagement as a whole is the empty one."""
    event = parked.event
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
