"""How an event is accepted: remembered, published, acknowledged, in this order, so that it is applied exactly once.

1. Its id is kept in the database with the hash of what it says, *before* anything is sent. An id that is there with
   another hash is a contradiction: 409, the first one stays, whichever instance saw it.
2. It is published, and the brokers' acknowledgement is awaited. Without it the answer is 503.
3. The id is marked as acknowledged. Only then 2xx.

An id that is there, with the same hash and marked, is answered 2xx and not sent again. One that is not marked was cut
off between 1 and 3: by a kill -9, a lost connection, a request of the same id that runs right now. Nobody can know
whether Kafka has it, so it is sent again, and the join, whose facts are what events say and not how often they were
said (rules 7 to 9), applies it once. The other order, publishing first, would lose the contradiction: two bodies under
one id could both reach Kafka before either was remembered.

If the database is away at 3, the event is in Kafka and the answer is 2xx all the same; a repeat is sent again.
"""

import asyncio
import hashlib
from collections.abc import Sequence

from milepost.codec import records
from milepost.core.events import ClockTick, Event, InvoiceAcknowledgement
from milepost.gateway.doors import Doors
from milepost.gateway.problems import Fault, Problem, pointer
from milepost.kafka.async_publishing import RecordTooLargeError
from milepost.observe import logs
from milepost.sql.engine import UnavailableError
from milepost.sql.remembering import Arrival, acknowledge, remember

__all__ = ["Incoming", "accept", "arrival_of"]

Incoming = tuple[str, Event | InvoiceAcknowledgement]
"""A topic and the event that is for it."""

_log = logs.logger(__name__)


def arrival_of(event: Event | InvoiceAcknowledgement) -> Arrival:
    """How an event is remembered: ids are the source's own, within an engagement, so that nobody else's can clash."""
    assert not isinstance(event, ClockTick)
    body_sha256 = hashlib.sha256(records.encode_event(event)).hexdigest()
    return Arrival(f"event {event.engagement_id} {event.source}", event.event_id, body_sha256)


async def accept(doors: Doors, events: Sequence[Incoming], messages: Sequence[Arrival] = ()) -> list[bool]:
    """Accept events, all or none; for each whether it was new. `messages` are remembered with them (a webhook's id).

    Whoever calls has checked the events and that the caller may send them. Raises `Problem` 409 for an id that came
    with another body, 413 for an event that no record holds; `PublishError` and `UnavailableError`, which become 503.
    """
    arrivals = [arrival_of(event) for _, event in events]
    known = await asyncio.to_thread(remember, doors.engine, [*messages, *arrivals], doors.now())
    faults = [
        Fault(
            pointer(place) if len(events) > 1 else "",
            f"the event id {arrival.event_id!r} came before with another body; the first one stays. "
            "Send what is new under a new id",
            "EVENT_ID_REUSED",
        )
        for place, arrival in enumerate(arrivals)
        if known[arrival.scope, arrival.event_id].body_sha256 != arrival.body_sha256
    ]
    faults += [
        Fault("", f"the message id {one.event_id!r} came before with another body", "MESSAGE_ID_REUSED")
        for one in messages
        if known[one.scope, one.event_id].body_sha256 != one.body_sha256
    ]
    if faults:
        _log.error("ids came again with other bodies", count=len(faults))
        raise Problem(409, faults[0].code, "Id used before", faults[0].detail, faults)
    fresh = [not known[arrival.scope, arrival.event_id].acknowledged for arrival in arrivals]
    sent = [event for event, is_fresh in zip(events, fresh, strict=True) if is_fresh]
    try:
        await doors.publisher.publish(sent)
    except RecordTooLargeError as error:
        place = [place for place, is_fresh in enumerate(fresh) if is_fresh][error.place]
        fault = Fault(pointer(place) if len(events) > 1 else "", str(error), "EVENT_TOO_LARGE")
        raise Problem(413, "EVENT_TOO_LARGE", "Too large", str(error), [fault]) from error
    try:
        marked = [*messages, *(arrival for arrival, is_fresh in zip(arrivals, fresh, strict=True) if is_fresh)]
        if marked:
            ids = [(arrival.scope, arrival.event_id) for arrival in marked]
            await asyncio.to_thread(acknowledge, doors.engine, ids, doors.now())
    except UnavailableError as error:
        _log.warning("events are in Kafka but not marked so; a repeat is sent again", found=str(error))
    return fresh
