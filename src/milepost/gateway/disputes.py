"""Disputes of a line: opened and withdrawn by one side, upheld and dismissed by whoever may decide them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from milepost.core.events import DisputeEvent
from milepost.core.money import format_minor
from milepost.gateway.accepting import Incoming, arrival_of
from milepost.gateway.access import Caller
from milepost.gateway.commands import Command
from milepost.gateway.describing import answers, ref
from milepost.gateway.doors import Door, Doors
from milepost.gateway.engagements import EngagementId
from milepost.gateway.judging import refused
from milepost.gateway.problems import Fault, Problem
from milepost.sql.disputes import disputes_of
from milepost.sql.pages import Pages
from milepost.sql.remembering import is_acknowledged

__all__ = ["router"]

router = APIRouter(tags=["disputes"])

DisputeId = Annotated[str, Path(min_length=1, max_length=512, description="The dispute, as it was opened")]
# What every client takes out of an address before it is sent.
_NO_PART_OF_AN_ADDRESS = (".", "..")

_OPENING = Command("dispute-events", "occurred_at", ("engagement_id", "kind"))
_DECISION = Command("dispute-events", "occurred_at", ("engagement_id", "kind", "dispute_id"))


async def _of_a_line(doors: Doors, incoming: Incoming) -> None:
    """Look that the line is the engagement's, that no more is disputed than it has, and that what ends is open."""
    event = incoming.event
    assert isinstance(event, DisputeEvent)
    if event.dispute_id in _NO_PART_OF_AN_ADDRESS:
        detail = f"{event.dispute_id!r} cannot stand in the address of a dispute; choose another id"
        raise refused([Fault("/dispute_id", detail, "INVALID_VALUE")])
    line = await asyncio.to_thread(Pages(doors.engine).line, event.engagement_id, event.line_id)
    if line is None:
        raise Problem(
            404,
            "UNKNOWN_LINE",
            "Not found",
            f"{event.engagement_id} has no line {event.line_id[:80]!r}",
            [Fault("/line_id", "no line of this engagement", "UNKNOWN_LINE")],
        )
    if event.amount_minor is not None and not 0 < event.amount_minor <= abs(line.gross_minor):
        most = f"{format_minor(abs(line.gross_minor), line.currency_exponent)} {line.currency}"
        detail = f"{event.amount_minor}; expected 1 to {abs(line.gross_minor)} minor units, the line's gross of {most}"
        raise refused([Fault("/amount_minor", detail, "AMOUNT_OUT_OF_RANGE")], "Invalid amount")
    # A repeat of what was taken is a repeat, whatever came of it since.
    if event.kind != "OPENED" and not await asyncio.to_thread(is_acknowledged, doors.engine, arrival_of(incoming)[0]):
        await _still_open(doors, event)


async def _still_open(doors: Doors, event: DisputeEvent) -> None:
    """Look that there is something to end. What nobody opened may still be upheld, as the contract's rules have it."""
    known = await asyncio.to_thread(disputes_of, doors.engine, event.engagement_id, [event.line_id])
    kind = known.get(event.line_id, {}).get(event.dispute_id)
    if kind == "OPENED" or (kind is None and event.kind == "UPHELD"):
        return
    named = f"dispute {event.dispute_id[:80]!r}"
    if kind is None:
        detail = (
            f"line {event.line_id[:80]!r} has no {named}, or the ledger does not know it yet; if it was just opened"
        )
        raise Problem(404, "UNKNOWN_DISPUTE", "Not found", f"{detail}, send this again in a moment")
    raise Problem(409, "NOT_OPEN", "Nothing to end", f"{named} is not open: its last event was {kind}")


def _taking(command: Command, kind: str) -> Callable[..., Awaitable[Response]]:
    async def send(request: Request, doors: Doors, caller: Any, decided: dict[str, Any]) -> Response:
        if caller.person is not None:
            decided["actor"] = caller.person
        return await command.run(request, doors, caller, decided, lambda incoming: _of_a_line(doors, incoming))

    async def opening(engagement_id: EngagementId, request: Request, doors: Door, caller: Caller) -> Response:
        return await send(request, doors, caller, {"engagement_id": engagement_id, "kind": kind})

    async def deciding(
        engagement_id: EngagementId, dispute_id: DisputeId, request: Request, doors: Door, caller: Caller
    ) -> Response:
        decided = {"engagement_id": engagement_id, "dispute_id": dispute_id, "kind": kind}
        return await send(request, doors, caller, decided)

    return opening if command is _OPENING else deciding


# An id may hold slashes: events give any.
for _path, _command, _kind, _summary, _meaning in (
    ("", _OPENING, "OPENED", "Dispute a line", "All of a line, or `amount_minor` of its gross."),
    ("/{dispute_id:path}/withdraw", _DECISION, "WITHDRAWN", "Withdraw a dispute", "Whoever disputed takes it back."),
    ("/{dispute_id:path}/uphold", _DECISION, "UPHELD", "Uphold a dispute", "What was disputed is credited."),
    ("/{dispute_id:path}/dismiss", _DECISION, "DISMISSED", "Dismiss a dispute", "What was disputed stays billed."),
):
    router.add_api_route(
        f"/v1/engagements/{{engagement_id}}/disputes{_path}",
        _taking(_command, _kind),
        methods=["POST"],
        status_code=202,
        name=f"dispute_{_kind.lower()}",
        summary=_summary,
        description=_meaning,
        responses=answers(202, ref("Accepted"), "Kafka has it", writes=True),
        openapi_extra=_command.described(),
    )
