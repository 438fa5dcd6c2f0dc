"""The life of an engagement: opened, amended, signed off, suspended, resumed, terminated."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from milepost.contract import Parsed, parse, to_wire
from milepost.contract.opening import opened
from milepost.core.contract import Contract
from milepost.core.events import EngagementEvent
from milepost.gateway.accepting import Incoming, accept, trace_of
from milepost.gateway.access import Caller, Principal
from milepost.gateway.bodies import media_type, read
from milepost.gateway.commands import Command, source_of
from milepost.gateway.describing import COMPONENTS, FAULT, answers, body, ref
from milepost.gateway.doors import Door, Doors
from milepost.gateway.idempotency import Once
from milepost.gateway.judging import contract_faults, judged, refused
from milepost.gateway.problems import Fault, Problem
from milepost.gateway.sending import accepted
from milepost.gateway.tenancy import claimed
from milepost.sql.reading import LedgerReading

__all__ = ["router"]

router = APIRouter(tags=["engagements"])

_TOPIC = "engagements"
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml")

EngagementId = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,128}$", description="The engagement")]

COMPONENTS["Opened"] = {
    "allOf": [
        ref("Accepted"),
        {
            "type": "object",
            "properties": {
                "engagement_id": {"type": "string"},
                "version": {"type": "integer"},
                "warnings": {
                    "type": "array",
                    "description": "What somebody should read before it bills.",
                    "items": FAULT,
                },
            },
            "required": ["engagement_id", "version", "warnings"],
        },
    ]
}
_CONTRACT = body(
    {
        "application/yaml": {"type": "string", "description": "The contract as signed; see docs/CONTRACTS.md."},
        "application/json": {"type": "object", "description": "The same as JSON: schemas/contract.schema.json."},
    }
)


def _contract(request: Request, raw: bytes) -> tuple[Contract, str, Parsed]:
    """The contract in a body, its text, and what was found. Raises `Problem` 415, and 422 with every finding."""
    kind = media_type(request)
    if kind not in ("", "application/json", *_YAML):
        raise Problem(
            415,
            "MEDIA_TYPE_NOT_TAKEN",
            "Media type",
            f"Content-Type is {kind[:80]!r}; send a contract as application/yaml or application/json",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"is no UTF-8 at byte {error.start}; save the contract as UTF-8"
        raise refused([Fault("", detail, "CONTRACT_INVALID")], "Contract refused") from error
    parsed = parse(text)
    if parsed.contract is None:
        raise refused(contract_faults(parsed.errors), "Contract refused")
    return parsed.contract, text, parsed


@router.post(
    "/v1/engagements",
    status_code=202,
    summary="Open an engagement",
    responses=answers(202, ref("Opened"), "Kafka has the contract; the engagement is open in a moment", writes=True),
    openapi_extra=_CONTRACT,
)
async def open_engagement(request: Request, doors: Door, caller: Caller) -> Response:
    """The body is the contract, YAML or JSON; every finding of its lint is in `errors`. The same contract again is 202
    again; another one for an engagement that is open is 409: amend it."""
    raw = await read(request)

    async def act() -> Response:
        contract, text, parsed = _contract(request, raw)
        event = opened(contract, text, source_of(caller))
        faults = judged(event)
        if faults:
            raise refused(faults, "Contract refused")
        await _not_open_otherwise(doors, event)
        await _taken(doors, caller, contract)
        return await _sent(request, doors, Incoming(_TOPIC, event), contract, parsed)

    return await Once.of(request, doors, caller, raw).answer(act)


@router.post(
    "/v1/engagements/{engagement_id}/amendments",
    status_code=202,
    summary="Amend the contract",
    responses=answers(202, ref("Opened"), "Kafka has the amendment", writes=True),
    openapi_extra=_CONTRACT,
)
async def amend(engagement_id: EngagementId, request: Request, doors: Door, caller: Caller) -> Response:
    """The body is the whole next version with its `amendment`; if the contract has amendments signed, it takes effect
    with the last signature. To propose the same text again after a rejection, send another Idempotency-Key."""
    raw = await read(request)
    once = Once.of(request, doors, caller, raw)

    async def act() -> Response:
        contract, text, parsed = _contract(request, raw)
        if contract.engagement != engagement_id:
            detail = f"{contract.engagement!r}; expected {engagement_id!r}, which the address names"
            raise refused([Fault("/engagement", detail, "KEY_MISMATCH")], "Contract refused")
        if contract.amendment is None:
            detail = "missing; an amendment says how it takes effect, such as amendment: {mode: prospective}"
            raise refused([Fault("/amendment", detail, "CONTRACT_INVALID")], "Contract refused")
        wire = to_wire(text)
        said = hashlib.sha256(wire.encode()).hexdigest()[:16]
        event = EngagementEvent(
            event_id=once.event_id() if once.key is not None else f"amend:{engagement_id}:{contract.version}:{said}",
            source=source_of(caller),
            engagement_id=engagement_id,
            change="AMENDED",
            occurred_at=0,
            contract=wire,
            actor=caller.person,
        )
        await _taken(doors, caller, contract)
        return await _sent(request, doors, Incoming(_TOPIC, event, "occurred_at"), contract, parsed)

    return await once.answer(act)


async def _not_open_otherwise(doors: Doors, event: EngagementEvent) -> None:
    known = await asyncio.to_thread(LedgerReading(doors.engine).contracts, event.engagement_id)
    if known and event.contract not in known.values():
        raise Problem(
            409,
            "ALREADY_OPEN",
            "Already open",
            f"{event.engagement_id} is open under another contract (version {max(known)}); send the next version to "
            f"/v1/engagements/{event.engagement_id}/amendments",
        )


async def _taken(doors: Doors, caller: Principal, contract: Contract) -> None:
    if not await claimed(doors, caller, contract):
        raise Problem(
            403,
            "NOT_A_PARTY",
            "Not allowed",
            f"this key may not open or amend {contract.engagement!r}: its tenant {caller.tenant!r} has to be the "
            "contract's customer or supplier, its patterns have to admit the name, and no one else may have it",
        )


async def _sent(request: Request, doors: Doors, incoming: Incoming, contract: Contract, parsed: Parsed) -> Response:
    found = await accept(doors, [incoming], trace=trace_of(request.headers))
    warnings = [fault._asdict() for fault in contract_faults(parsed.warnings)]
    response = accepted(found, engagement_id=contract.engagement, version=contract.version, warnings=warnings)
    response.headers["Location"] = f"/v1/engagements/{contract.engagement}"
    return response


def _change(change: str) -> tuple[Command, Callable[..., Awaitable[Response]]]:
    command = Command(_TOPIC, "occurred_at", ("engagement_id", "change", "contract"))

    async def take(engagement_id: EngagementId, request: Request, doors: Door, caller: Caller) -> Response:
        decided = {"engagement_id": engagement_id, "change": change}
        if caller.person is not None:
            decided["actor"] = caller.person
        return await command.run(request, doors, caller, decided)

    return command, take


for _word, _said, _meaning in (
    ("sign-off", "SIGNED_OFF", "Sign the engagement off: what its retention waits for. Signed as the contract says."),
    ("suspend", "SUSPENDED", "Hold billing back; what is accepted meanwhile bills when it is resumed."),
    ("resume", "RESUMED", "Bill again, and what was held back."),
    ("terminate", "TERMINATED", "End the engagement; what is not accepted by then is cancelled."),
):
    _command, _take = _change(_said)
    router.add_api_route(
        f"/v1/engagements/{{engagement_id}}/{_word}",
        _take,
        methods=["POST"],
        status_code=202,
        name=_word.replace("-", "_"),
        summary=_meaning.partition(";")[0].partition(":")[0].rstrip("."),
        description=_meaning,
        responses=answers(202, ref("Accepted"), "Kafka has it", writes=True),
        openapi_extra=_command.described(),
    )
