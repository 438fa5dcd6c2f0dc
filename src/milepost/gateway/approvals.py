"""What waits for signatures, over all engagements: the inbox of a person, a role, a tenant."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from milepost.gateway import showing
from milepost.gateway.access import Caller
from milepost.gateway.describing import answers, ref
from milepost.gateway.doors import Door
from milepost.gateway.paging import Cursor, Limit, listed
from milepost.gateway.tenancy import EVERY, learn
from milepost.sql.open_requests import open_requests

__all__ = ["router"]

router = APIRouter(tags=["ledger"])

_PAGE = {
    "type": "object",
    "properties": {
        "items": {"type": "array", "items": ref("ApprovalRequest")},
        "next": {"type": ["string", "null"]},
    },
    "required": ["items", "next"],
}


@router.get(
    "/v1/approvals",
    summary="What waits for signatures",
    responses=answers(200, _PAGE, "A page", writes=False, csv=True),
)
def approvals(
    request: Request,
    doors: Door,
    caller: Caller,
    person: Annotated[str | None, Query(max_length=512, description="Only what asks this person")] = None,
    role: Annotated[str | None, Query(max_length=512, description="Only what asks this role")] = None,
    engagement_id: Annotated[str | None, Query(max_length=512, description="Only of this engagement")] = None,
    is_open: Annotated[bool, Query(alias="open", description="false: how those ended that ask nobody any more")] = True,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response:
    """Of each step and role that is asked the newest request, the most urgent first; `available_actions` says what the
    key's person may do. After an escalation both roles are asked; the signature of either takes the step off."""
    tenant = None if caller.tenant == EVERY else caller.tenant
    if tenant is not None:
        learn(doors)
    return listed(
        request,
        lambda after, most: open_requests(
            doors.engine,
            after,
            most,
            tenant=tenant,
            patterns=caller.engagements,
            engagement=engagement_id,
            person=person,
            role=role,
            asking=is_open,
        ),
        lambda one: showing.request_json(one, caller),
        (int, str, int),
        cursor,
        limit,
        showing.columns_of("ApprovalRequest"),
    )
