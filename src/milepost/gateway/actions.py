"""Which action each route needs: the one table of who may do what, as data.

A key of `ACTIONS` is a method and a route's path as it stands in its decorator. A route that is here needs an API key
with that action; `OPEN` lists those that do not, each with what guards it instead. A route in neither makes
`create_app` fail.
"""

from typing import Final

from milepost.codec.event_files import TOPICS_OF_EVENTS

__all__ = ["ACTIONS", "OPEN"]

ACTIONS: Final[dict[str, str]] = {
    "GET /v1/whoami": "self:read",
    "POST /v1/engagements": "engagements:open",
    "POST /v1/engagements/{engagement_id}/amendments": "engagements:amend",
    "POST /v1/engagements/{engagement_id}/sign-off": "engagements:sign-off",
    "POST /v1/engagements/{engagement_id}/suspend": "engagements:suspend",
    "POST /v1/engagements/{engagement_id}/resume": "engagements:suspend",
    "POST /v1/engagements/{engagement_id}/terminate": "engagements:terminate",
    "POST /v1/engagements/{engagement_id}/milestones/{milestone_id}/trigger": "milestones:trigger",
    "POST /v1/engagements/{engagement_id}/milestones/{milestone_id}/approvals": "approvals:decide",
    "POST /v1/engagements/{engagement_id}/disputes": "disputes:open",
    "POST /v1/engagements/{engagement_id}/disputes/{dispute_id}/withdraw": "disputes:open",
    "POST /v1/engagements/{engagement_id}/disputes/{dispute_id}/uphold": "disputes:decide",
    "POST /v1/engagements/{engagement_id}/disputes/{dispute_id}/dismiss": "disputes:decide",
    "GET /v1/engagements": "engagements:read",
    "GET /v1/engagements/{engagement_id}": "engagements:read",
    "GET /v1/engagements/{engagement_id}/contract": "contracts:read",
    "GET /v1/engagements/{engagement_id}/milestones": "milestones:read",
    "GET /v1/engagements/{engagement_id}/milestones/{milestone_id}/explanation": "milestones:read",
    "GET /v1/engagements/{engagement_id}/lines": "lines:read",
    "GET /v1/engagements/{engagement_id}/lines/{line_id}/explanation": "lines:read",
    "GET /v1/engagements/{engagement_id}/retention": "lines:read",
    "GET /v1/engagements/{engagement_id}/requests": "approvals:read",
    "GET /v1/approvals": "approvals:read",
    "GET /v1/engagements/{engagement_id}/audit": "audit:read",
    **{f"POST /v1/events/{topic}": f"events:{topic}" for topic in TOPICS_OF_EVENTS if topic != "clock-ticks"},
    "POST /v1/evidence": "evidence:write",
    "PUT /v1/evidence/{sha256}": "evidence:write",
    "GET /v1/evidence/{sha256}": "evidence:read",
}
"""Action by route."""

OPEN: Final[dict[str, str]] = {
    "POST /v1/webhooks/{endpoint_id}": "the proof that the endpoint asks of its sender",
    "PUT /v1/webhooks/{endpoint_id}/{resource_type}/{resource_id}": "the proof that the endpoint asks of its sender",
    "GET /t/{token}": "the token, which says who made it and for what; nothing is done",
    "POST /t/{token}": "the token, which says who made it and for what",
    "GET /live": "says nothing but that the process runs",
    "GET /ready": "says nothing but what is away",
    "GET /approve/{token}": "the token, which one person has; shows what it is for and never acts",
    "POST /approve/{token}": "the token, which one person has; one decision, in one role, on one submission",
    "GET /approve/{token}/evidence/{sha256}": "the token; the files that its page names",
}
"""What guards a route that takes no API key, by route."""
