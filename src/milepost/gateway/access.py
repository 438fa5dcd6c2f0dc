"""Who asks, and whether they may: API keys, actions, engagements. A route names the result as `Caller`.

The dependency looks up the route's action in `actions.ACTIONS`, finds the key, and compares, in this order: the key
(401), the action (403), the engagement of the path (404: what one may not see does not exist). Engagements in a body
are looked at where events are accepted (`accepting`).
"""

import asyncio
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from milepost.gateway import keys
from milepost.gateway.actions import ACTIONS
from milepost.gateway.doors import Door, Doors
from milepost.gateway.problems import Problem
from milepost.sql.api_keys import ApiKey, find_key
from milepost.sql.tenants import tenants_of

__all__ = ["EVERY", "Caller", "Principal", "may_see"]

# As a tenant: all of them. As an engagement's pattern or an action: any.
EVERY = "*"
# Compared with when there is no such key, so that it takes as long.
_NOBODY_SHA256 = "0" * 64

_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="`mp_...`, from `milepost keys create`")


@dataclass(frozen=True)
class Principal:
    """Whoever holds a key. `person` and `roles` are what an approver's key is bound to."""

    key_id: str
    name: str
    tenant: str
    engagements: tuple[str, ...]
    actions: tuple[str, ...]
    person: str | None
    roles: tuple[str, ...]

    def may(self, action: str) -> bool:
        """Whether the key has the action; `events:*` has all that begin with `events:`."""
        return any(fnmatchcase(action, granted) for granted in self.actions)

    def covers(self, engagement: str) -> bool:
        """Whether the key's patterns admit the engagement; whose it is, is another question (`may_see`)."""
        return any(fnmatchcase(engagement, granted) for granted in self.engagements)


async def may_see(doors: Doors, principal: Principal, engagements: set[str]) -> set[str]:
    """Those of the engagements that the principal may know of: patterns and tenant. Raises `UnavailableError`."""
    covered = {engagement for engagement in engagements if principal.covers(engagement)}
    if principal.tenant == EVERY or not covered:
        return covered
    found = await asyncio.to_thread(tenants_of, doors.engine, covered)
    return {engagement for engagement in covered if principal.tenant in found.get(engagement, ())}


async def _authorised(
    request: Request, doors: Door, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    principal = await _identified(doors, credentials)
    _within_rate(doors, principal)
    action = ACTIONS[f"{request.method} {request.scope['route'].path}"]
    if not principal.may(action):
        raise Problem(
            403,
            "ACTION_NOT_ALLOWED",
            "Not allowed",
            f"this key does not have the action {action}; it has: {', '.join(principal.actions)}",
        )
    engagement = request.path_params.get("engagement_id")
    if engagement is not None and not await may_see(doors, principal, {engagement}):
        raise Problem(404, "UNKNOWN_ENGAGEMENT", "Not found", f"there is no engagement {engagement!r} for this key")
    return principal


async def _identified(doors: Doors, credentials: HTTPAuthorizationCredentials | None) -> Principal:
    if credentials is None:
        raise _unauthorised("no API key came with the request; send Authorization: Bearer mp_...")
    key_id = keys.parse(credentials.credentials)
    key = await asyncio.to_thread(find_key, doors.engine, key_id) if key_id is not None else None
    if not keys.fits(credentials.credentials, key.secret_sha256 if key is not None else _NOBODY_SHA256) or key is None:
        raise _unauthorised("this API key is not known; copy it as `milepost keys create` printed it")
    if not key.active(doors.now()):
        raise _unauthorised("this API key was revoked or has expired; make a new one with `milepost keys create`")
    return principal_of(key)


def _within_rate(doors: Doors, principal: Principal) -> None:
    per_s = doors.settings.gateway_requests_per_s
    wait_us = doors.rates.wait_us(principal.key_id, per_s, doors.now())
    if wait_us:
        raise Problem(
            429,
            "TOO_MANY_REQUESTS",
            "Too many requests",
            f"this key may send {per_s} requests a second here; send events in batches",
            headers={"Retry-After": str(-(-wait_us // 1_000_000))},
        )


def principal_of(key: ApiKey) -> Principal:
    """What a key may do."""
    return Principal(key.key_id, key.name, key.tenant, key.engagements, key.actions, key.person, key.roles)


def _unauthorised(detail: str) -> Problem:
    return Problem(401, "UNAUTHORIZED", "Who are you?", detail, headers={"WWW-Authenticate": 'Bearer realm="milepost"'})


Caller = Annotated[Principal, Depends(_authorised)]
