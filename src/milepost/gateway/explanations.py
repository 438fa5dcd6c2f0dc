"""Why a line exists, and what a milestone waits for, in sentences; from the records alone, as `milepost explain`."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from milepost.audit.explaining import Explanation, Material, explain_line, explain_milestone
from milepost.contract import parse_wire
from milepost.core.contract import Contract
from milepost.core.outputs import ApprovalRequest, InvoiceLine, MilestoneStatus
from milepost.gateway.access import Caller
from milepost.gateway.describing import COMPONENTS, answers, ref
from milepost.gateway.doors import Door, Doors
from milepost.gateway.engagements import EngagementId
from milepost.gateway.milestones import MilestoneId
from milepost.gateway.paging import answer, wants
from milepost.gateway.problems import Problem
from milepost.sql.occurrences import Occurrences
from milepost.sql.pages import Pages
from milepost.sql.reading import LedgerReading

__all__ = ["router"]

router = APIRouter(tags=["ledger"])

# The arithmetic adds up the lines before; beyond this many the command line is the place to ask.
_MOST_LINES = 20_000

COMPONENTS["Explanation"] = {
    "type": "object",
    "properties": {
        "sections": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "title": {"type": "string"},
                    "sentences": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["title", "sentences"],
            },
        }
    },
    "required": ["sections"],
}
_ANSWERS: dict[int | str, Any] = answers(200, ref("Explanation"), "In sentences", writes=False)
_ANSWERS[200]["content"]["text/plain"] = {"schema": {"type": "string"}}


def _told(request: Request, explanation: Explanation) -> Response:
    if wants(request, "application/json", "text/plain") == "text/plain":
        return Response(explanation.text(), media_type="text/plain; charset=utf-8")
    return answer({"sections": [{"title": title, "sentences": said} for title, said in explanation.sections if said]})


@router.get(
    "/v1/engagements/{engagement_id}/lines/{line_id}/explanation", summary="Why a line exists", responses=_ANSWERS
)
def line(
    engagement_id: EngagementId,
    line_id: Annotated[str, Path(max_length=512, description="The line")],
    request: Request,
    doors: Door,
    caller: Caller,
) -> Response:
    """Its terms, the events and signatures behind it, its evidence, its arithmetic, and what corrected it since."""
    pages = Pages(doors.engine)
    found = pages.line(engagement_id, line_id)
    if found is None:
        raise Problem(404, "UNKNOWN_LINE", "Not found", f"{engagement_id!r} has no line {line_id[:80]!r}")
    before = pages.before(found, _MOST_LINES)
    if before is None:
        raise Problem(
            404,
            "TOO_MANY_LINES",
            "Not here",
            f"more than {_MOST_LINES} lines came before this one; ask `milepost explain {line_id}`",
        )
    # Sources may hold slashes, so that every tail of a cause may be the event's id.
    tails = {cause[at + 1 :] for cause in found.caused_by for at, sign in enumerate(cause) if sign == "/"}
    material = Material(
        [*before, *pages.corrections_of(line_id)],
        pages.retention_of(line_id),
        _requests(doors, engagement_id, found.milestone_id, found.occurrence_id),
        [],
        pages.entries_of(engagement_id, line_id, tails),
    )
    return _told(request, explain_line(material, found, _contract(doors, found)))


@router.get(
    "/v1/engagements/{engagement_id}/milestones/{milestone_id}/explanation",
    summary="What a milestone waits for",
    responses=_ANSWERS,
)
def milestone(
    engagement_id: EngagementId,
    milestone_id: MilestoneId,
    request: Request,
    doors: Door,
    caller: Caller,
    occurrence_id: Annotated[str, Query(max_length=512, description="For one that repeats")] = "",
) -> Response:
    """What it misses and since when, who has to sign, and the money at stake."""
    pages = Pages(doors.engine)
    statuses = pages.statuses(engagement_id, None, 1, milestone_id=milestone_id, occurrence_id=occurrence_id)
    if not statuses.items:
        raise Problem(
            404,
            "UNKNOWN_MILESTONE",
            "Not found",
            f"nothing was heard of {milestone_id[:80]!r} {occurrence_id[:80]!r} in {engagement_id!r} yet",
        )
    found = statuses.items[0]
    requests = _requests(doors, engagement_id, milestone_id, found.occurrence_id)
    return _told(request, explain_milestone(Material([], [], requests, _needed(pages, found), []), found))


def _requests(doors: Doors, engagement_id: str, milestone: str | None, occurrence: str | None) -> list[ApprovalRequest]:
    if milestone is None:
        return []
    return Occurrences(doors.engine).requests(engagement_id, milestone, occurrence)


def _needed(pages: Pages, status: MilestoneStatus) -> list[MilestoneStatus]:
    """The milestones that it waits for: the same occurrence of those that repeat."""
    gates = {gate for one in status.missing for gate in one.gate.split("|")}
    names = sorted(gate.removeprefix("milestone:") for gate in gates if gate.startswith("milestone:"))
    places = [(name, occurrence) for name in names for occurrence in dict.fromkeys(("", status.occurrence_id or ""))]
    return [
        found
        for name, occurrence in places
        for found in pages.statuses(status.engagement_id, None, 1, milestone_id=name, occurrence_id=occurrence).items
    ]


def _contract(doors: Doors, found: InvoiceLine) -> Contract | None:
    text = LedgerReading(doors.engine).contracts(found.engagement_id).get(found.contract_version)
    return None if text is None else parse_wire(text).contract
