"""Whether the process lives, and whether it can do its work; and who a key is."""

import asyncio
from typing import Any

from fastapi import APIRouter

from milepost.codec.topics import INPUTS
from milepost.gateway.access import Caller
from milepost.gateway.describing import COMPONENTS, answers, ref
from milepost.gateway.doors import Door, Doors
from milepost.gateway.problems import MEDIA_TYPE, Problem
from milepost.kafka.async_publishing import PublishError
from milepost.sql.engine import DatabaseError, UnavailableError
from milepost.sql.migrations import check_schema

__all__ = ["away", "router"]

router = APIRouter()


@router.get("/live", tags=["health"], summary="Whether the process runs")
async def live() -> dict[str, str]:
    """Answers as long as the process does; says nothing about Kafka or the database."""
    return {"status": "live"}


@router.get(
    "/ready",
    tags=["health"],
    summary="Whether Kafka and the database are there",
    responses={503: {"description": "One of them is away", "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}},
)
async def ready(doors: Door) -> dict[str, str]:
    """503 with what is away in `detail`."""
    if found := await away(doors):
        raise Problem(503, "NOT_READY", "Not ready", "; ".join(found), headers={"Retry-After": "5"})
    return {"status": "ready"}


async def away(doors: Doors) -> list[str]:
    """What keeps the gateway from its work, a sentence each; empty: it is ready."""
    found = []
    try:
        await doors.publisher.reachable(INPUTS)
    except PublishError as error:
        found.append(str(error))
    try:
        await asyncio.to_thread(check_schema, doors.engine)
    except (UnavailableError, DatabaseError) as error:
        found.append(str(error))
    return found


COMPONENTS["Key"] = {
    "type": "object",
    "properties": {
        **{name: {"type": "string"} for name in ("key_id", "name", "tenant")},
        **{name: {"type": "array", "items": {"type": "string"}} for name in ("engagements", "actions", "roles")},
        "person": {"type": ["string", "null"]},
    },
    "required": ["key_id", "name", "tenant", "engagements", "actions", "person", "roles"],
}


@router.get(
    "/v1/whoami",
    tags=["keys"],
    summary="What the key may do",
    responses=answers(200, ref("Key"), "The key, without what is secret", writes=False),
)
async def whoami(caller: Caller) -> dict[str, Any]:
    """The key's name, tenant, engagements, actions, person and roles."""
    return {
        "key_id": caller.key_id,
        "name": caller.name,
        "tenant": caller.tenant,
        "engagements": caller.engagements,
        "actions": caller.actions,
        "person": caller.person,
        "roles": caller.roles,
    }
