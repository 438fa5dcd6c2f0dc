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
from milepost.core.facts import ParkedEvent, Parking, Place, Waiting, parked_key, parking_key
from milepost.core.outputs import DeadLetter, MilestoneStatus

__all__ = ["PARKED_BYTES", "PARKED_EVENTS", "park", "parked_names", "place_of", "retry", "retry_lines", "unknown"]

PARKED_EVENTS = 1_000  # of one engagement
PARKED_BYTES = 1 << 20
SHOWN = 20  # in a status; the audit trail names all of them

_encode = msgspec.msgpack.Encoder().encode


def park(engagement: Engagement, reason: str) -> DeadLetter | None:
    """Keep the event until what it names is known; a dead letter if there is no room."""
    received, parking = engagement.received, _parking(engagement)
    event = _encode(received.event)
    digest = blake2b(event, digest_size=16).digest()
    if any(waiting.digest == digest for waiting in parking.waiting):
        engagement.audit("REFUSED", "DUPLICATE")
        engagement.save()
        return None
    if len(parking.waiting) >= PARKED_EVENTS or parking.bytes + len(event) > PARKED_BYTES:
        message = (
            f"engagement {engagement.name}: {len(parking.waiting)} events ({parking.bytes} bytes) wait already, "
            f"this one for {reason}; open or amend the engagement, then replay this record"
        )
        return DeadLetter(reason="PARKING_FULL", message=message)
    milestone, occurrence = place_of(received.event)
    parked = ParkedEvent(received.event, received.topic, received.partition, received.offset, received.recorded_at)
    engagement.staged.save(parked_key(engagement.name, len(parking.waiting)), parked)
    name, line = f"{reason} {engagement.cause}", _line(received.event)
    parking.waiting.append(Waiting(milestone, name, digest, line, occurrence))
    parking.bytes += len(event)
    engagement.staged.save(parking_key(engagement.name), parking)
    engagement.account.parked = len(parking.waiting)
    engagement.audit("PARKED", reason)
    engagement.save()
    return None


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
    return found


def _line(event: Event) -> str | None:
    return event.line_id if isinstance(event, DisputeEvent) else None


def parked_names(engagement: Engagement, place: Place) -> list[str]:
    """What waits for the occurrence: "REASON source/event_id", the first of them and how many more."""
    if not engagement.account.parked:
        return []
    names = [waiting.name for waiting in _parking(engagement).waiting if waiting.place == place]
    return names if len(names) <= SHOWN else [*names[:SHOWN], f"and {len(names) - SHOWN} more"]


def _parking(engagement: Engagement) -> Parking:
    return engagement.staged.load(parking_key(engagement.name), Parking) or Parking()


def place_of(event: Event) -> Place:
    """What an event waits for; the engagement as a whole is the empty milestone."""
    if isinstance(event, MilestoneEvent | ApprovalDecision):
        return Place(event.milestone_id, event.occurrence_id)
    if isinstance(event, RegulatorDecision | UsageEvent):
        return Place(event.milestone_id or "")
    return Place("@signoff" if isinstance(event, EngagementEvent) and event.change == "SIGNED_OFF" else "")


def unknown(engagement: Engagement, place: Place) -> MilestoneStatus:
    """The status of a milestone (or engagement) that the engine does not know yet: it shows what waits."""
    return MilestoneStatus(
        engagement_id=engagement.name,
        milestone_id=place.milestone,
        occurrence_id=place.occurrence,
        state="PENDING",
        completion="0",
        billed_completion="0",
        missing=(),
        parked=tuple(parked_names(engagement, place)),
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
