"""Webhooks: what other systems send because something happened there.

1. The bytes are read within the limits; nothing is parsed before the sender is known.
2. The endpoint's proof is verified over these bytes (`proofs`), and nothing says more than that it failed.
3. The endpoint's adapter makes events of them, or findings: then nothing is taken, and the sender is told each (422).
4. What the endpoint may not write is refused: other topics, other sources, engagements that are not its tenant's.
5. The events and the id that the sender signed are accepted as any (`accepting`): remembered, published, acknowledged.

A sender's retry has the same id and a new time; it is answered 2xx and has no effect. The same id with another body is
409, and counted: either somebody reuses ids, or somebody forges. Ids are remembered for as long as those of events are,
more than twice the 75 hours for which Standard Webhooks has a sender try.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from milepost.codec.standard_webhooks import HeaderError, MissingHeaderError, WebhookError
from milepost.core.events import ClockTick
from milepost.gateway import proofs
from milepost.gateway.accepting import Incoming, accept, trace_of
from milepost.gateway.access import within_rate
from milepost.gateway.adapters import ADAPTERS
from milepost.gateway.adapters.deliveries import Delivery, Translation
from milepost.gateway.bodies import read
from milepost.gateway.describing import COMPONENTS, answers, ref
from milepost.gateway.doors import Door, Doors
from milepost.gateway.endpoints import options_of
from milepost.gateway.judging import judged, refused
from milepost.gateway.problems import Fault, Problem, unavailable
from milepost.gateway.sending import accepted
from milepost.gateway.tenancy import may_see
from milepost.kafka.async_publishing import PublishError
from milepost.observe import logs, metrics
from milepost.sql.engine import UnavailableError
from milepost.sql.remembering import Arrival
from milepost.sql.sealing import Seal, SealError
from milepost.sql.webhooks import Endpoint, Secret, find_endpoint, opened

__all__ = ["router"]

router = APIRouter(tags=["webhooks"])

# As many as a person reads.
_PASSED_OVER = 20
_POINTERS = 5
_OUTCOMES = ("accepted", "repeated", "passed_over", "refused", "contradicted", "unproven", "unavailable")

_log = logs.logger(__name__)

EndpointId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_TAKEN = answers(202, ref("Delivered"), "Kafka has what it means", writes=True)
_BODY = {"requestBody": {"required": True, "content": {"*/*": {"schema": {}}}}}
COMPONENTS["Delivered"] = COMPONENTS["Accepted"] | {
    "description": "What Kafka has by now of a webhook, and what of it has no event.",
    "properties": COMPONENTS["Accepted"]["properties"]
    | {"passed_over": {"type": "array", "items": {"type": "string"}}},
}
for _adapter in ADAPTERS:
    for _outcome in _OUTCOMES:
        # An alert on contradictions has to see the first one.
        metrics.GATEWAY_WEBHOOKS.labels(_adapter, _outcome)


@router.post(
    "/v1/webhooks/{endpoint_id}",
    status_code=202,
    summary="Take a webhook",
    description="What the sender's system sends, as it sends it; `milepost webhooks create` makes an endpoint.",
    responses=_TAKEN,
    openapi_extra=_BODY,
)
async def take(endpoint_id: EndpointId, request: Request, doors: Door) -> Response:
    """202 once the brokers have what it means."""
    return await _counted(endpoint_id, request, doors)


@router.put(
    "/v1/webhooks/{endpoint_id}/{resource_type}/{resource_id}",
    status_code=202,
    summary="Take a webhook of a FHIR server",
    description="FHIR R4 servers notify by an update below the endpoint's address; the body says what it is.",
    responses=_TAKEN,
    openapi_extra=_BODY,
)
async def take_resource(
    endpoint_id: EndpointId, resource_type: str, resource_id: str, request: Request, doors: Door
) -> Response:
    """202 once the brokers have what it means."""
    return await _counted(endpoint_id, request, doors)


async def _counted(endpoint_id: str, request: Request, doors: Doors) -> Response:
    """Take it, and count what became of it."""
    raw = await read(request)
    found = await asyncio.to_thread(find_endpoint, doors.engine, endpoint_id)
    if found is None or found[0].revoked_at is not None:
        raise Problem(404, "UNKNOWN_ENDPOINT", "Not found", f"there is no endpoint {endpoint_id!r} for webhooks")
    endpoint, secrets = found
    try:
        response, outcome = await _taken(endpoint, secrets, request, raw, doors)
    except Problem as problem:
        outcome = {409: "contradicted", 400: "unproven", 401: "unproven", 503: "unavailable"}.get(
            problem.status, "refused"
        )
        # Where it is wrong, not what stands there: that may be anybody's.
        pointers = [fault.pointer for fault in problem.errors[:_POINTERS]]
        _log.warning(
            "a webhook was not taken", endpoint=endpoint_id, outcome=outcome, code=problem.code, pointers=pointers
        )
        metrics.GATEWAY_WEBHOOKS.labels(endpoint.adapter, outcome).inc()
        raise
    except (PublishError, UnavailableError):
        metrics.GATEWAY_WEBHOOKS.labels(endpoint.adapter, "unavailable").inc()
        raise
    metrics.GATEWAY_WEBHOOKS.labels(endpoint.adapter, outcome).inc()
    return response


async def _taken(
    endpoint: Endpoint, secrets: Sequence[Secret], request: Request, raw: bytes, doors: Doors
) -> tuple[Response, str]:
    message_id = _proven(endpoint, secrets, request, raw, doors)
    within_rate(doors, f"webhook {endpoint.endpoint_id}")
    delivery = Delivery(raw, {name.lower(): value for name, value in request.headers.items()})
    adapter = ADAPTERS[endpoint.adapter]
    translation = await asyncio.to_thread(adapter.translate, options_of(endpoint), delivery)
    faults = list(_faults(endpoint, translation))
    if faults:
        raise refused(faults, "Invalid content")
    engagements = {event.engagement_id for _, event in translation.events if not isinstance(event, ClockTick)}
    hidden = engagements - await may_see(doors, endpoint, engagements)
    if hidden:
        detail = f"there is no engagement {min(hidden)!r} for this endpoint"
        raise Problem(404, "UNKNOWN_ENGAGEMENT", "Not found", detail)
    messages = [] if message_id is None else [_arrival(endpoint, message_id, raw)]
    events = [Incoming(topic, event) for topic, event in translation.events]
    taken = await accept(doors, events, messages, trace_of(request.headers))
    if translation.passed_over:
        _log.info("passed over", endpoint=endpoint.endpoint_id, count=len(translation.passed_over))
    outcome = "passed_over" if not taken else "repeated" if all(one.repeated for one in taken) else "accepted"
    return accepted(taken, passed_over=list(translation.passed_over[:_PASSED_OVER])), outcome


def _proven(endpoint: Endpoint, secrets: Sequence[Secret], request: Request, raw: bytes, doors: Doors) -> str | None:
    """The id that the sender signed, if its proof has one."""
    now = doors.now()
    try:
        texts = opened(secrets, Seal.of(doors.settings), now)
    except SealError as error:
        _log.error("no secret of an endpoint can be used", endpoint=endpoint.endpoint_id, found=str(error))
        raise unavailable("this endpoint's secret cannot be read; its operator finds out why in the log") from error
    try:
        return proofs.PROOFS[endpoint.proof].verify(
            texts, proofs.Request(request.headers.items(), raw), now // 1_000_000
        )
    except WebhookError as error:
        malformed = isinstance(error, HeaderError) and not isinstance(error, MissingHeaderError)
        status, code = (400, "MALFORMED_PROOF") if malformed else (401, "NOT_PROVEN")
        raise Problem(status, code, "Who are you?", f"{error}; nothing of this webhook was read") from error


def _faults(endpoint: Endpoint, translation: Translation) -> Iterator[Fault]:
    for pointer, message in translation.findings:
        yield Fault(pointer, message, "NOT_TRANSLATED")
    for place, (topic, event) in enumerate(translation.events):
        if topic not in endpoint.topics:
            yield Fault("", f"event {place + 1} is for {topic}, which this endpoint may not write", "TOPIC_NOT_ALLOWED")
        yield from judged(event)


def _arrival(endpoint: Endpoint, message_id: str, raw: bytes) -> Arrival:
    return Arrival(f"webhook {endpoint.endpoint_id}", message_id, hashlib.sha256(raw).hexdigest())
