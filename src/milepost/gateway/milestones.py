"""Reports and decisions on a milestone."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from milepost.core.events import ApprovalDecision
from milepost.gateway.accepting import Incoming, arrival_of
from milepost.gateway.access import Caller
from milepost.gateway.commands import Command
from milepost.gateway.describing import answers, ref
from milepost.gateway.doors import Door
from milepost.gateway.engagements import EngagementId
from milepost.gateway.problems import Problem
from milepost.gateway.submissions import look
from milepost.sql.remembering import is_acknowledged

__all__ = ["MilestoneId", "router"]

router = APIRouter(tags=["milestones"])

MilestoneId = Annotated[str, Path(min_length=1, max_length=512, description="The milestone, as in the contract")]

_TRIGGER = Command("milestone-events", "occurred_at", ("engagement_id", "milestone_id"), {"kind": "REPORTED"})
# A person decides now: a date of their own choosing could be one before the deadline that they missed.
_DECISION = Command("approvals", "decided_at", ("engagement_id", "milestone_id", "approver"), {"role": ""}, dated=False)


@router.post(
    "/v1/engagements/{engagement_id}/milestones/{milestone_id}/trigger",
    status_code=202,
    summary="Report a milestone",
    responses=answers(202, ref("Accepted"), "Kafka has the report", writes=True),
    openapi_extra=_TRIGGER.described(),
)
async def trigger(
    engagement_id: EngagementId, milestone_id: MilestoneId, request: Request, doors: Door, caller: Caller
) -> Response:
    """Without a body: reported complete, now. `completion`, `occurrence_id`, `evidence` and the rest as in a
    MilestoneEvent; a correction is `kind: CORRECTED`."""
    decided: dict[str, Any] = {"engagement_id": engagement_id, "milestone_id": milestone_id}
    if caller.person is not None:
        decided["reported_by"] = caller.person
    return await _TRIGGER.run(request, doors, caller, decided)


@router.post(
    "/v1/engagements/{engagement_id}/milestones/{milestone_id}/approvals",
    status_code=202,
    summary="Approve, reject, or take it back",
    responses=answers(202, ref("Accepted"), "Kafka has the decision", writes=True),
    openapi_extra=_DECISION.described(),
)
async def decide(
    engagement_id: EngagementId, milestone_id: MilestoneId, request: Request, doors: Door, caller: Caller
) -> Response:
    """By the person whom the key is bound to, in one of their roles (`role` may be left out if there is only one), now.
    The milestones @signoff and @amendment are decided on here too. Name the `submission` that you saw: a decision on
    one that was superseded is 409, and `open` says what is open instead. Systems that vouch for others' signatures send
    events for approvals."""
    if caller.person is None:
        raise Problem(
            403,
            "NOT_A_PERSON",
            "Not allowed",
            "only a person decides, and this key is bound to none; make one with `milepost keys create --person`",
        )
    command = _DECISION
    if len(caller.roles) == 1:
        command = Command(
            command.topic, command.dated_by, command.decides, {"role": caller.roles[0]}, dated=command.dated
        )
    decided = {"engagement_id": engagement_id, "milestone_id": milestone_id, "approver": caller.person}

    async def still_open(incoming: Incoming) -> None:
        assert isinstance(incoming.event, ApprovalDecision)
        said, _ = arrival_of(incoming)
        # A repeat of what was taken is a repeat, whatever came of it since.
        if not await asyncio.to_thread(is_acknowledged, doors.engine, said):
            await asyncio.to_thread(look, doors.engine, incoming.event)

    return await command.run(request, doors, caller, decided, still_open)
