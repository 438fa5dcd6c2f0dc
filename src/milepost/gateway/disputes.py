"""Disputes of a line: opened and withdrawn by one side, upheld and dismissed by whoever may decide them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from milepost.core.events import DisputeEvent
from milepost.core.money import format_minor
from milepost.gateway.accepting import Incoming
from milepost.gateway.access import Caller
from milepost.gateway.commands import Command
from milepost.gateway.describing import answers, ref
from milepost.gateway.doors import Door, Doors
from milepost.gateway.engagements import EngagementId
from milepost.gateway.judging import refused
from milepost.gateway.problems import Fault, Problem
from milepost.sql.pages import Pages

__all__ = ["router"]

router = APIRouter(tags=["disputes"])

DisputeId = Annotated[str, Path(min_length=1, max_length=512, description="The dispute, as it was opened")]

_OPENING = Command("dispute-events", "occurred_at", ("engagement_id", "kind"))
_DECISION = Command("dispute-events", "occurred_at", ("engagement_id", "kind", "dispute_id"))


async def _of_a_line(doors: Doors, incoming: Incoming) -> None:
    """Look that the line is the engagement's, and that no more is disputed than it has."""
    event = incoming.event
    assert isinstance(event, DisputeEvent)
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
