"""Who asks, and whether they may: API keys, actions, engagements. A route names the result as `Caller`.

The dependency looks up the route's action in `actions.ACTIONS`, finds the key, and compares, in this order: the key
(401), its rate (429), the action (403), the engagement of the path (404: what one may not see does not exist, see
`tenancy`). Engagements in a body are looked at where events are sent (`sending`).
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
from milepost.gateway.tenancy import may_see
from milepost.sql.api_keys import ApiKey, find_key, note_use

__all__ = ["Caller", "Principal", "principal_of", "within_rate"]

# Compared with when there is no such key, so that it takes as long.
_NOBODY_SHA256 = "0" * 64
_USE_US = 60_000_000

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


async def _authorised(
    request: Request, doors: Door, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    principal = await _identified(doors, credentials)
    within_rate(doors, principal.key_id)
    action = ACTIONS[f"{request.method} {request.scope['route'].path_format}"]
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
    await _used(doors, key)
    return principal_of(key)


async def _used(doors: Doors, key: ApiKey) -> None:
    """Keep when the key was used, to the minute: more would be a write for each request."""
    now = doors.now()
    if key.last_used_at is None or now - key.last_used_at >= _USE_US:
        await asyncio.to_thread(note_use, doors.engine, key.key_id, now)


def within_rate(doors: Doors, asker: str) -> None:
    """Raises `Problem` 429 when somebody, a key or an endpoint by its id, asks more often than it may."""
    per_s = doors.settings.gateway_requests_per_s
    wait_us = doors.rates.wait_us(asker, per_s, doors.now())
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
