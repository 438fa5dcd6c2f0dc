"""Events of any input topic, in the JSON form of docs/EVENTS."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path

from milepost.codec.event_files import TOPICS_OF_EVENTS
from milepost.codec.json_forms import event_or_problems
from milepost.core.checks import check
from milepost.core.events import ClockTick, Event, InvoiceAcknowledgement
from milepost.gateway.accepting import accept
from milepost.gateway.access import Caller, may_see
from milepost.gateway.doors import Door
from milepost.gateway.problems import Fault, Problem, pointer

__all__ = ["TOPICS", "router"]

router = APIRouter(tags=["events"])

TOPICS: tuple[str, ...] = tuple(topic for topic in TOPICS_OF_EVENTS if topic != "clock-ticks")
"""The topics that take events over HTTP. Not ticks: time comes from one clock."""


@router.post("/v1/events/{topic}", status_code=202, summary="Send one event")
async def send(
    topic: Annotated[str, Path()], value: Annotated[dict[str, Any], Body()], doors: Door, caller: Caller
) -> dict[str, Any]:
    """202 once the brokers have it; the same event again is 202 again, and has no further effect."""
    if topic not in TOPICS:
        raise Problem(404, "UNKNOWN_TOPIC", "Not found", f"no topic {topic!r}; expected one of {', '.join(TOPICS)}")
    event, wrong = event_or_problems(topic, value)
    if event is None:
        faults = [_fault(one) for one in wrong]
        raise Problem(422, "INVALID_EVENT", "Invalid event", "; ".join(wrong[:3]), faults)
    if message := check(event):
        raise Problem(422, "INVALID_EVENT", "Invalid event", message, [_fault(message)])
    assert not isinstance(event, ClockTick)
    await _visible(doors, caller, event)
    fresh = await accept(doors, [(topic, event)])
    return {"accepted": sum(fresh), "repeated": len(fresh) - sum(fresh)}


async def _visible(doors: Door, caller: Caller, event: Event | InvoiceAcknowledgement) -> None:
    assert not isinstance(event, ClockTick)
    if not await may_see(doors, caller, {event.engagement_id}):
        raise Problem(
            404, "UNKNOWN_ENGAGEMENT", "Not found", f"there is no engagement {event.engagement_id!r} for this key"
        )


def _fault(problem: str) -> Fault:
    path, _, detail = problem.partition(": ")
    parts = path.replace("[", ".").replace("]", "").split(".")
    return Fault(pointer(*parts), detail, "INVALID_VALUE")
