"""What the ledger knows: engagements, milestones and what they miss, lines, retention, requests, the audit trail.

Lists come in pages and as CSV (`paging`). The ledger is a moment behind Kafka: what was accepted a second ago may not
be here yet.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from milepost.core.lifecycle import STATES
from milepost.core.outputs import InvoiceLine
from milepost.gateway import showing
from milepost.gateway.access import Caller
from milepost.gateway.describing import answers, ref
from milepost.gateway.doors import Door
from milepost.gateway.engagements import EngagementId
from milepost.gateway.overviews import overview, sums
from milepost.gateway.paging import Cursor, Limit, answer, listed
from milepost.gateway.problems import Problem
from milepost.gateway.tenancy import EVERY, learn
from milepost.sql.disputes import disputes_of
from milepost.sql.pages import Key, Page, Pages
from milepost.sql.reading import LedgerReading

__all__ = ["router"]

router = APIRouter(tags=["ledger"])

Json = dict[str, Any]
MilestoneFilter = Annotated[str | None, Query(max_length=512, description="Only of this milestone")]
State = Literal["PENDING", "SUBMITTED", "APPROVED", "ACCEPTED", "BILLED", "REJECTED", "CANCELLED"]
LineKind = Literal["MILESTONE", "ADJUSTMENT", "REVERSAL", "CLAWBACK", "TIME_AND_MATERIALS", "RETENTION_RELEASE"]
RequestKind = Literal["REQUESTED", "REMINDED", "ESCALATED", "GRANTED", "DEEMED", "REJECTED", "EXPIRED", "SUPERSEDED"]
assert set(get_args(State)) == set(STATES)

_OVERVIEW_COLUMNS = ("engagement_id", "state", "latest_version", "customer", "supplier", "purchase_order", "currency",
                     "value", "opened_at")  # fmt: skip


def _list_of(name: str, **more: Json) -> Json:
    properties = {"items": {"type": "array", "items": ref(name)}, "next": {"type": ["string", "null"]}, **more}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _pages_of(name: str) -> dict[int | str, Json]:
    return answers(200, _list_of(name), "A page", writes=False, csv=True)


@router.get("/v1/engagements", summary="Engagements", responses=_pages_of("EngagementOverview"))
def engagements(request: Request, doors: Door, caller: Caller, limit: Limit = None, cursor: Cursor = None) -> Response:
    """Those that are open, or were, and that the key may know of; by id."""
    tenant = None if caller.tenant == EVERY else caller.tenant
    if tenant is not None:
        learn(doors)
    pages = Pages(doors.engine)
    return listed(
        request,
        lambda after, most: pages.engagements(after, most, tenant=tenant, patterns=caller.engagements),
        lambda changes: overview(changes, caller),
        (str,),
        cursor,
        limit,
        _OVERVIEW_COLUMNS,
    )


@router.get(
    "/v1/engagements/{engagement_id}",
    summary="One engagement",
    responses=answers(
        200,
        {
            "allOf": [
                ref("EngagementOverview"),
                {
                    "type": "object",
                    "properties": {"sums": {"type": "array", "items": ref("Sums")}},
                    "required": ["sums"],
                },
            ]
        },
        "The engagement",
        writes=False,
    ),
)
def engagement(engagement_id: EngagementId, doors: Door, caller: Caller) -> Response:
    """Its parties, its state, what was billed and withheld, and what can be done with it."""
    changes = Pages(doors.engine).changes(engagement_id)
    if not changes:
        raise _not_open(engagement_id)
    return answer({**overview(changes, caller), "sums": sums(LedgerReading(doors.engine), engagement_id)})


def _not_open(engagement_id: str) -> Problem:
    return Problem(
        404,
        "NOT_OPEN_YET",
        "Not found",
        f"{engagement_id!r} is not open, or the ledger does not know it yet; what is sent for it waits",
    )


@router.get(
    "/v1/engagements/{engagement_id}/contract",
    summary="The contract",
    responses=answers(200, {"type": "object"}, "The document, as JSON", writes=False),
)
def contract(
    engagement_id: EngagementId,
    doors: Door,
    caller: Caller,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="By default the latest")] = None,
) -> Response:
    """A version as the join took it; an amendment may still wait for its signatures."""
    found = LedgerReading(doors.engine).contracts(engagement_id)
    if not found:
        raise _not_open(engagement_id)
    text = found.get(max(found) if version is None else version)
    if text is None:
        known = ", ".join(map(str, sorted(found)))
        raise Problem(404, "UNKNOWN_VERSION", "Not found", f"there is no version {version}; known are {known}")
    return Response(text, media_type="application/json")


@router.get("/v1/engagements/{engagement_id}/milestones", summary="Milestones", responses=_pages_of("MilestoneStatus"))
def milestones(
    engagement_id: EngagementId,
    request: Request,
    doors: Door,
    caller: Caller,
    milestone_id: MilestoneFilter = None,
    occurrence_id: Annotated[str | None, Query(max_length=512, description="Only this occurrence")] = None,
    state: Annotated[State | None, Query(description="Only in this state")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """Every occurrence that was heard of: where it stands, what it misses and since when, what is at stake."""
    pages = Pages(doors.engine)
    return listed(
        request,
        lambda after, most: pages.statuses(
            engagement_id, after, most, milestone_id=milestone_id, state=state, occurrence_id=occurrence_id
        ),
        lambda status: showing.status_json(status, caller),
        (str, str),
        cursor,
        limit,
        showing.columns_of("MilestoneStatus"),
    )


@router.get("/v1/engagements/{engagement_id}/lines", summary="Invoice lines", responses=_pages_of("InvoiceLine"))
def lines(
    engagement_id: EngagementId,
    request: Request,
    doors: Door,
    caller: Caller,
    milestone_id: MilestoneFilter = None,
    kind: Annotated[LineKind | None, Query(description="Only of this kind")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """In the order in which they were raised. Lines never change: the `next` of the last page, asked again later,
    brings what came since."""
    pages = Pages(doors.engine)

    def asked(after: Key | None, most: int) -> Page[tuple[InvoiceLine, Mapping[str, str]]]:
        page = pages.lines(engagement_id, after, most, milestone_id=milestone_id, kind=kind)
        disputes = disputes_of(doors.engine, engagement_id, [line.line_id for line in page.items])
        return Page([(line, disputes.get(line.line_id, {})) for line in page.items], page.end)

    return listed(
        request,
        asked,
        lambda found: showing.line_json(found[0], found[1], caller),
        (int,),
        cursor,
        limit,
        showing.columns_of("InvoiceLine"),
    )


@router.get(
    "/v1/engagements/{engagement_id}/retention",
    summary="The retention statement",
    responses=answers(
        200,
        _list_of("RetentionEvent", sums={"type": "array", "items": ref("Sums")}),
        "A page",
        writes=False,
        csv=True,
    ),
)
def retention(
    engagement_id: EngagementId,
    request: Request,
    doors: Door,
    caller: Caller,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """Money held, reduced and released, each with the balance after it; `sums` is of the whole engagement."""
    pages = Pages(doors.engine)
    return listed(
        request,
        lambda after, most: pages.retention(engagement_id, after, most),
        showing.retention_json,
        (int,),
        cursor,
        limit,
        showing.columns_of("RetentionEvent"),
        lambda: {"sums": sums(LedgerReading(doors.engine), engagement_id)},
    )


@router.get(
    "/v1/engagements/{engagement_id}/requests", summary="Approval requests", responses=_pages_of("ApprovalRequest")
)
def requests(
    engagement_id: EngagementId,
    request: Request,
    doors: Door,
    caller: Caller,
    milestone_id: MilestoneFilter = None,
    kind: Annotated[RequestKind | None, Query(description="Only of this kind")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """What signers were asked, and how each went on, in order."""
    pages = Pages(doors.engine)
    return listed(
        request,
        lambda after, most: pages.requests(engagement_id, after, most, milestone_id=milestone_id, kind=kind),
        lambda one: showing.request_json(one, caller),
        (int,),
        cursor,
        limit,
        showing.columns_of("ApprovalRequest"),
    )


@router.get("/v1/engagements/{engagement_id}/audit", summary="The audit trail", responses=_pages_of("AuditEntry"))
def audit(
    engagement_id: EngagementId,
    request: Request,
    doors: Door,
    caller: Caller,
    what: Annotated[str | None, Query(max_length=64, pattern="^[A-Z_]*$", description="Only of this kind")] = None,
    reason: Annotated[
        str | None, Query(max_length=64, pattern="^[A-Z_]*$", description="Only with this reason")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """What every event did, as a hash chain."""
    pages = Pages(doors.engine)
    return listed(
        request,
        lambda after, most: pages.audit(engagement_id, after, most, what=what, reason=reason),
        showing.entry_json,
        (int,),
        cursor,
        limit,
        showing.columns_of("AuditEntry"),
    )
