"""From a request to accepted events: what every route that writes has in common."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from starlette.responses import Response

from milepost.codec.json_values import NotJsonError, read_json
from milepost.core.events import ApprovalDecision, ClockTick, EngagementEvent, Event, InvoiceAcknowledgement
from milepost.core.events import MilestoneEvent as Report
from milepost.gateway.accepting import Accepted, Incoming, accept, trace_of
from milepost.gateway.access import Principal
from milepost.gateway.doors import Doors
from milepost.gateway.problems import Fault, Problem
from milepost.gateway.tenancy import may_see

__all__ = ["accepted", "json_value", "send"]


def json_value(raw: bytes, at: str = "") -> Any:
    """The value in a body, or in one line of it. Raises `Problem` 422 for what is no JSON, or not one reading of it."""
    try:
        return read_json(raw)
    except NotJsonError as error:
        fault = Fault(at, str(error), "NOT_JSON")
        raise Problem(422, "NOT_JSON", "Not JSON", f"{at or 'the body'} {error}", [fault]) from error


async def send(
    request: Request, doors: Doors, caller: Principal, events: Sequence[Incoming], *, listed: bool = True
) -> Response:
    """Send events that were judged; 202 once the brokers have them.

    Raises `Problem` 404 for an engagement that the caller may not see, 403 for another person's name, and what
    `accepting.accept` raises.
    """
    engagements = {one.event.engagement_id for one in events if not isinstance(one.event, ClockTick)}
    hidden = engagements - await may_see(doors, caller, engagements)
    if hidden:
        raise unknown(min(hidden))
    for one in events:
        _in_own_name(caller, one.event)
    return accepted(await accept(doors, events, trace=trace_of(request.headers)), listed=listed)


def unknown(engagement: str) -> Problem:
    """404: what one may not see does not exist."""
    return Problem(404, "UNKNOWN_ENGAGEMENT", "Not found", f"there is no engagement {engagement!r} for this key")


def _in_own_name(caller: Principal, event: Event | InvoiceAcknowledgement) -> None:
    """A key that is bound to a person speaks for that person alone, and signs in that person's roles alone."""
    if caller.person is None:
        return
    field, named = _SPEAKERS.get(type(event), "actor"), None
    named = getattr(event, field, None)
    if named is not None and named != caller.person:
        raise Problem(
            403,
            "ANOTHER_PERSON",
            "Not allowed",
            f"{field} is {named!r}, and this key is bound to {caller.person!r}; leave {field} out",
            [Fault(f"/{field}", f"{named!r}; expected {caller.person!r}", "ANOTHER_PERSON")],
        )
    if isinstance(event, ApprovalDecision) and event.role not in caller.roles:
        raise Problem(
            403,
            "ANOTHER_ROLE",
            "Not allowed",
            f"this key decides as {', '.join(caller.roles)}, not as {event.role!r}",
            [Fault("/role", f"{event.role!r}; expected one of {', '.join(caller.roles)}", "ANOTHER_ROLE")],
        )


_SPEAKERS: dict[type, str] = {ApprovalDecision: "approver", Report: "reported_by", EngagementEvent: "actor"}


def accepted(found: Sequence[Accepted], *, listed: bool = True, **more: Any) -> Response:
    """202, with what became of each event unless there are too many to list."""
    repeated = sum(one.repeated for one in found)
    document: dict[str, Any] = {"accepted": len(found) - repeated, "repeated": repeated, **more}
    if listed:
        document["events"] = [
            {
                "event_id": one.event_id,
                "source": one.source,
                "topic": one.topic,
                "repeated": one.repeated,
                "partition": one.place.partition if one.place is not None else None,
                "offset": one.place.offset if one.place is not None and one.place.offset >= 0 else None,
            }
            for one in found
        ]
    return Response(json.dumps(document), 202, media_type="application/json")
