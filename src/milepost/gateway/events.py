"""Events of any input topic in their JSON form: one, a list of them, or one a line.

A request is taken whole or not at all: one faulty event refuses all of it, with a pointer to every fault.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from milepost.codec.event_files import TOPICS_OF_EVENTS
from milepost.codec.json_schema import record_schema
from milepost.codec.topics import TOPICS as ALL_TOPICS
from milepost.gateway.accepting import Incoming
from milepost.gateway.access import Caller
from milepost.gateway.bodies import media_type, read
from milepost.gateway.describing import COMPONENTS, answers, body, ref
from milepost.gateway.doors import Door
from milepost.gateway.idempotency import Once
from milepost.gateway.judging import event_of, refused
from milepost.gateway.problems import Fault, Problem
from milepost.gateway.sending import json_value, send

__all__ = ["TOPICS", "router"]

router = APIRouter(tags=["events"])

TOPICS: tuple[str, ...] = tuple(topic for topic in TOPICS_OF_EVENTS if topic != "clock-ticks")
"""The topics that take events over HTTP. Not ticks: time comes from one clock, and a tick fires everybody's deadlines.
"""

_JSON = ("application/json", "application/*+json", "")
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")
# A list longer than this is not worth repeating in the answer.
_LISTED = 100


def _values(kind: str, raw: bytes, most: int) -> tuple[list[tuple[str, Any]], bool]:
    """The values in a body, each with its pointer, and whether it was a list."""
    if kind in _LINES:
        lines = [(number, line) for number, line in enumerate(raw.split(b"\n")) if line.strip()]
        _at_most(len(lines), most)
        return [(f"/{number}", json_value(line.strip(), f"/{number}")) for number, line in lines], True
    if kind not in _JSON and not kind.endswith("+json"):
        raise Problem(
            415,
            "MEDIA_TYPE_NOT_TAKEN",
            "Media type",
            f"Content-Type is {kind[:80]!r}; send application/json, or application/x-ndjson for one event a line",
        )
    value = json_value(raw)
    if not isinstance(value, list):
        return [("", value)], False
    _at_most(len(value), most)
    return [(f"/{place}", one) for place, one in enumerate(value)], True


def _at_most(count: int, most: int) -> None:
    if count > most:
        raise Problem(
            413,
            "TOO_MANY_EVENTS",
            "Too large",
            f"the request has {count} events; send {most} at most (MILEPOST_GATEWAY_MAX_EVENTS)",
            extra={"limit_events": most},
        )
    if not count:
        fault = Fault("", "no event; expected at least one", "NO_EVENT")
        raise Problem(422, "NO_EVENT", "Invalid event", "the request has no event", [fault])


def _judged(topic: str, values: list[tuple[str, Any]]) -> Iterator[Incoming]:
    faults: list[Fault] = []
    for at, value in values:
        event, wrong = event_of(topic, value, at)
        faults += wrong
        if event is not None and not faults:
            yield Incoming(topic, event)
    if faults:
        raise refused(faults)


def _route(topic: str) -> Callable[[Request, Door, Caller], Awaitable[Response]]:
    async def take(request: Request, doors: Door, caller: Caller) -> Response:
        raw = await read(request)

        async def act() -> Response:
            values, listed = _values(media_type(request), raw, doors.settings.gateway_max_events)
            events = list(_judged(topic, values))
            return await send(request, doors, caller, events, listed=not listed or len(events) <= _LISTED)

        return await Once.of(request, doors, caller, raw).answer(act)

    return take


for _topic in TOPICS:
    _record = ALL_TOPICS[_topic].record
    COMPONENTS[_record] = record_schema(_record)
    router.add_api_route(
        f"/v1/events/{_topic}",
        _route(_topic),
        methods=["POST"],
        status_code=202,
        name=f"send_{_topic.replace('-', '_')}",
        summary=f"Send events for {_topic}",
        description=f"One {_record}, a list of them, or one a line. {ALL_TOPICS[_topic].why} 202 once the brokers have "
        "them; the same event again is 202 again and has no further effect, another body under its id is 409.",
        responses=answers(202, ref("Accepted"), "Kafka has them", writes=True),
        openapi_extra=body(
            {
                "application/json": {
                    "oneOf": [ref(_record), {"type": "array", "items": ref(_record), "minItems": 1}],
                },
                "application/x-ndjson": {"type": "string", "description": f"One {_record} a line."},
            }
        ),
    )
