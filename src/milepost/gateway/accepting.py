"""How an event is accepted: remembered, published, acknowledged, in this order, so that it is applied exactly once.

1. Its id is kept in the database with the hash of what it says, *before* anything is sent. An id that is there with
   another hash is a contradiction: 409, the first one stays, whichever instance saw it, and nothing is kept of what
   else came with it. What no record holds is refused before (413). So a request that was refused leaves nothing
   behind, and may come again, corrected, with the same ids; one that may have been sent stays remembered.
2. It is published, and the brokers' acknowledgement is awaited. Without it the answer is 503.
3. The request that brought the id is marked as acknowledged. Only then 2xx.

An id that is there, with the same hash and marked, is answered 2xx and not sent again. One that is not marked was cut
off between 1 and 3: by a kill -9, a lost connection, a request of the same id that runs right now. Nobody can know
whether Kafka has it, so it is sent again, and the join, whose facts are what events say and not how often they were
said (rules 7 to 9), applies it once. The other order, publishing first, would lose the contradiction: two bodies under
one id could both reach Kafka before either was remembered.

What the gateway itself adds must be the same on every try, or the second record would be another fact: an event that
came without its time gets the one at which its id was first seen (`Incoming.dated_by`), which step 1 keeps: a
sandbox's own time, where time was advanced.

If the database is away at 3, the event is in Kafka and the answer is 2xx all the same; a repeat is sent again.
"""

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from starlette.datastructures import Headers

from milepost.codec import records
from milepost.core.events import ClockTick, Event, InvoiceAcknowledgement
from milepost.gateway.doors import Doors
from milepost.gateway.problems import Fault, Problem, pointer
from milepost.kafka.async_publishing import MAX_RECORD_BYTES, Place, PublishError, RecordTooLargeError
from milepost.observe import logs, metrics
from milepost.sql.engine import UnavailableError
from milepost.sql.remembering import Arrival, Ids, Known

__all__ = ["Accepted", "Incoming", "accept", "arrival_of", "trace_of"]

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# The W3C's least that an implementation has to pass on.
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")

_log = logs.logger(__name__)

Trace = Sequence[tuple[str, bytes]]


class Incoming(NamedTuple):
    """An event for a topic. `dated_by` names the instant that its sender left out, if it did, such as "occurred_at"."""

    topic: str
    event: Event | InvoiceAcknowledgement
    dated_by: str | None = None


class Accepted(NamedTuple):
    """What became of one event: repeated, if it was known and acknowledged before; else where it is stored."""

    event_id: str
    source: str
    topic: str
    repeated: bool
    place: Place | None


def arrival_of(incoming: Incoming) -> tuple[Arrival, bytes | None]:
    """How an event is remembered: ids are the source's own, within an engagement, so that nobody else's can clash.

    With it the event encoded for its topic; None where its time is still to come.
    """
    event = incoming.event
    assert not isinstance(event, ClockTick), "ticks have no id"
    said = event if incoming.dated_by is None else msgspec.structs.replace(event, **{incoming.dated_by: 0})
    encoded = records.encode_event(said)
    body_sha256 = hashlib.sha256(encoded).hexdigest()
    arrival = Arrival(f"event {event.engagement_id} {event.source}", event.event_id, body_sha256)
    return arrival, encoded if incoming.dated_by is None else None


def trace_of(headers: Headers) -> list[tuple[str, bytes]]:
    """The trace that a request belongs to (W3C `traceparent`), for its events to carry on."""
    parent, state = headers.get("traceparent", ""), headers.get("tracestate", "")
    if not _TRACEPARENT.fullmatch(parent):
        return []
    found = [("traceparent", parent.encode())]
    return [*found, ("tracestate", state.encode())] if _TRACESTATE.fullmatch(state) else found


async def accept(
    doors: Doors, events: Sequence[Incoming], messages: Sequence[Arrival] = (), trace: Trace = ()
) -> list[Accepted]:
    """Accept events, all or none. `messages` are remembered with them: a webhook's id, say.

    Whoever calls has judged the events and that the caller may send them. Raises `Problem` 409 for an id that came with
    another body, 413 for an event that no record holds; `PublishError` and `UnavailableError`, which become 503.
    """
    arrivals, values = zip(*map(arrival_of, events), strict=True) if events else ((), ())
    request_id, now = secrets.randbits(63), await doors.time()
    _fits(events, values, now)
    known = await doors.memory.remember(request_id, [*messages, *arrivals], now)
    contradictions = list(_contradictions(events, arrivals, messages, known, request_id))
    if contradictions:
        _log.error("ids came again with other bodies", count=len(contradictions))
        raise Problem(409, contradictions[0].code, "Id used before", contradictions[0].detail, contradictions)
    # Of two in one request with the same id, one is sent.
    first = {(one.scope, one.event_id): place for place, one in reversed(list(enumerate(arrivals)))}
    fresh = sorted(place for ids, place in first.items() if not known[ids].acknowledged)
    sendable = [(_dated(events[at], arrivals[at], known), values[at], at) for at in fresh]
    places = await _published(doors, sendable, trace)
    finished = [(one.scope, one.event_id) for one in (*messages, *(arrivals[place] for place in fresh))]
    if finished:
        await _marked(doors, request_id, [ids for ids in finished if known[ids].request_id != request_id], now)
    outcomes = Counter((one.topic, "accepted" if at in places else "repeated") for at, one in enumerate(events))
    for labels, count in outcomes.items():
        metrics.GATEWAY_EVENTS.labels(*labels).inc(count)
    return [
        Accepted(arrival.event_id, getattr(one.event, "source", ""), one.topic, at not in places, places.get(at))
        for at, (one, arrival) in enumerate(zip(events, arrivals, strict=True))
    ]


def _contradictions(
    events: Sequence[Incoming],
    arrivals: Sequence[Arrival],
    messages: Sequence[Arrival],
    known: Known,
    request_id: int,
) -> Iterator[Fault]:
    for one in messages:
        if known[one.scope, one.event_id].body_sha256 != one.body_sha256:
            yield Fault("", f"the message id {one.event_id!r} came before with another body", "MESSAGE_ID_REUSED")
    for place, (incoming, one) in enumerate(zip(events, arrivals, strict=True)):
        stays = known[one.scope, one.event_id]
        if stays.body_sha256 != one.body_sha256:
            metrics.GATEWAY_EVENTS.labels(incoming.topic, "contradicted").inc()
            found = "came before with another body; the first one stays"
            if stays.request_id == request_id:
                found = "stands in this request with two bodies; neither was taken"
            yield Fault(
                pointer(place) if len(events) > 1 else "",
                f"the event id {one.event_id!r} of this source {found}. Send what is new under a new id",
                "EVENT_ID_REUSED",
            )


def _dated(incoming: Incoming, arrival: Arrival, known: Known) -> tuple[str, Event | InvoiceAcknowledgement]:
    if incoming.dated_by is None:
        return incoming.topic, incoming.event
    at = known[arrival.scope, arrival.event_id].first_seen_at
    return incoming.topic, msgspec.structs.replace(incoming.event, **{incoming.dated_by: at})


def _fits(events: Sequence[Incoming], values: Sequence[bytes | None], now: int) -> None:
    """Raises `Problem` 413 for an event that no record holds."""
    for place, (incoming, value) in enumerate(zip(events, values, strict=True)):
        if value is None:  # any instant of these centuries takes as many bytes as `now`
            assert incoming.dated_by is not None
            value = records.encode_event(msgspec.structs.replace(incoming.event, **{incoming.dated_by: now}))
        if len(value) > MAX_RECORD_BYTES:
            said = str(RecordTooLargeError(place, len(value)))
            fault = Fault(pointer(place) if len(events) > 1 else "", said, "EVENT_TOO_LARGE")
            raise Problem(413, "EVENT_TOO_LARGE", "Too large", said, [fault])


async def _published(
    doors: Doors,
    sendable: Sequence[tuple[tuple[str, Event | InvoiceAcknowledgement], bytes | None, int]],
    trace: Trace,
) -> dict[int, Place]:
    """Where the events are stored, by their place in the request."""
    try:
        events_out, values = [record for record, _, _ in sendable], [value for _, value, _ in sendable]
        stored = await doors.publisher.publish(events_out, trace, values)
    except PublishError:
        for (topic, _), _, _ in sendable:
            metrics.GATEWAY_EVENTS.labels(topic, "unacknowledged").inc()
        raise
    return {at: place for (_, _, at), place in zip(sendable, stored, strict=True)}


async def _marked(doors: Doors, request_id: int, others: Sequence[Ids], now: int) -> None:
    try:
        await doors.memory.acknowledge(request_id, others, now)
    except UnavailableError as error:
        _log.warning("events are in Kafka but not marked so; a repeat is sent again", found=str(error))
