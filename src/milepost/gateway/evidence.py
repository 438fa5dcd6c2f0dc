"""Evidence over HTTP: upload for an engagement, download for whoever may know of that engagement.

An upload is the file itself as the request's body, with its media type; the answer is the item that an event's
`evidence` takes. PUT names the SHA-256 in the address, POST may send it in Content-Digest (RFC 9530).
"""

import base64
import binascii
import re
from asyncio import to_thread
from collections.abc import AsyncIterator
from hashlib import sha256 as new_digest
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from milepost.core.events import Evidence
from milepost.gateway.access import Caller
from milepost.gateway.bodies import within
from milepost.gateway.describing import answers, ref
from milepost.gateway.doors import Door, Doors
from milepost.gateway.problems import RETRY_S, Problem
from milepost.gateway.tenancy import may_see
from milepost.observe import logs, metrics
from milepost.sql.evidence import EvidenceUse, add_use, uses_of
from milepost.store.evidence.checking import digest_of
from milepost.store.evidence.media_types import MEDIA_TYPES
from milepost.store.evidence.port import MissingError, StoreError, is_hash
from milepost.store.evidence.receiving import RefusedError

__all__ = ["NAME_LENGTH", "deliver", "item", "keep", "refused", "router", "wrong_name"]

router = APIRouter(tags=["evidence"])

NAME_LENGTH = 200
"""Most characters of a piece of evidence's name."""

_STATUSES = {
    "TOO_LARGE": 413,
    "TOO_SLOW": 408,
    "MEDIA_TYPE_UNKNOWN": 415,
}
# Neither a path nor anything that a terminal, a log or a header could take for a command.
_WRONG_IN_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]*):\s*(?:$|,)")
_NAMES_DIGEST = re.compile(r"sha-?256", re.IGNORECASE)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": dict.fromkeys(sorted(MEDIA_TYPES), _BINARY)},
}
_KEPT = {
    **answers(201, ref("Evidence"), "It is kept; the item goes into an event", writes=True),
    200: {"description": "The engagement had it already", "content": {"application/json": {"schema": ref("Evidence")}}},
}
_FILE = {
    **answers(200, {}, "The file", writes=False),
    200: {"description": "The file", "content": dict.fromkeys(sorted(MEDIA_TYPES), _BINARY)},
}
_log = logs.logger(__name__)

ForEngagement = Annotated[str, Query(min_length=1, max_length=200, description="the engagement that it is for")]
Name = Annotated[str | None, Query(max_length=NAME_LENGTH, description="as the contract calls it: final_report")]


@router.post("/v1/evidence", status_code=201, summary="Upload a file", responses=_KEPT, openapi_extra=_BODY)
async def post(
    request: Request,
    doors: Door,
    caller: Caller,
    engagement_id: ForEngagement,
    name: Name = None,
    content_digest: Annotated[str | None, Header()] = None,
) -> Response:
    """201 when it is kept, 200 when the engagement had it already; the same bytes are one object."""
    return await _upload(request, doors, caller, engagement_id, name, _digest(content_digest))


@router.put(
    "/v1/evidence/{sha256}",
    status_code=201,
    summary="Upload a file by its hash",
    responses=_KEPT,
    openapi_extra=_BODY,
)
async def put(
    request: Request,
    doors: Door,
    caller: Caller,
    sha256: Annotated[str, Path()],
    engagement_id: ForEngagement,
    name: Name = None,
) -> Response:
    """As POST, for who knows the SHA-256 and may have to try again."""
    if not is_hash(sha256):
        raise Problem(
            422, "INVALID_HASH", "Invalid hash", f"{sha256[:80]!r} is no SHA-256; expected 64 lower-case hex digits"
        )
    return await _upload(request, doors, caller, engagement_id, name, sha256)


@router.get("/v1/evidence/{sha256}", summary="Download a file", response_class=StreamingResponse, responses=_FILE)
async def get(doors: Door, caller: Caller, sha256: Annotated[str, Path()]) -> Response:
    """The file, to be saved; for keys that may see an engagement that it was uploaded for."""
    found = await to_thread(uses_of, doors.engine, sha256) if is_hash(sha256) else []
    visible = await may_see(doors, caller, {use.engagement_id for use in found})
    own = f"key {caller.key_id}"
    readable = [use for use in found if use.engagement_id in visible or use.uploaded_by == own]
    if not readable:
        raise Problem(404, "UNKNOWN_EVIDENCE", "Not found", f"there is no evidence {sha256[:80]!r} for this key")
    return await deliver(doors, readable[0])


async def _upload(
    request: Request, doors: Doors, caller: Caller, engagement_id: str, name: str | None, sha256: str | None
) -> Response:
    if not await may_see(doors, caller, {engagement_id}):
        raise Problem(404, "UNKNOWN_ENGAGEMENT", "Not found", f"there is no engagement {engagement_id!r} for this key")
    if name is not None and (wrong := wrong_name(name)):
        raise Problem(422, "INVALID_NAME", "Invalid name", wrong)
    media_type = request.headers.get("content-type", "")
    try:
        body = within(request, limit_bytes=doors.settings.evidence_max_bytes)
        kept, new = await keep(doors, body, media_type, engagement_id, name, f"key {caller.key_id}", sha256)
    except ClientDisconnect:
        raise Problem(400, "INCOMPLETE", "Incomplete", "the connection ended before the file was complete") from None
    found = item(doors, kept)
    named = {name: getattr(found, name) for name in found.__struct_fields__}
    return JSONResponse(named, 201 if new else 200, {"Location": found.uri})


async def keep(
    doors: Doors,
    pieces: AsyncIterator[bytes],
    media_type: str,
    engagement_id: str,
    name: str | None,
    uploaded_by: str,
    sha256: str | None = None,
) -> tuple[EvidenceUse, bool]:
    """Keep a file for an engagement; what was kept, and whether it was not yet kept for this engagement.

    Whether another engagement has the same file is nobody's business here (S15).

    Raises `Problem` for a file that is refused and for a store that is away, `UnavailableError`.
    """
    try:
        stored = await doors.receiver.receive(pieces, media_type, sha256)
    except RefusedError as error:
        metrics.EVIDENCE_UPLOADS.labels(error.code).inc()
        raise refused(error) from error
    except StoreError as error:
        raise _away(error) from error
    metrics.EVIDENCE_UPLOADS.labels("kept" if stored.new else "known").inc()
    use = EvidenceUse(
        engagement_id,
        stored.sha256,
        name or stored.sha256[:12],
        stored.media_type,
        stored.size_bytes,
        uploaded_by,
        doors.now(),
    )
    # Only now may anybody ask for it. A crash before this leaves a file that nobody knows of, until it is sent again.
    return use, await to_thread(add_use, doors.engine, use)


def item(doors: Doors, use: EvidenceUse) -> Evidence:
    """What an event's `evidence` takes."""
    uri = f"{doors.settings.public_url}/v1/evidence/{use.sha256}"
    return Evidence(use.name, use.media_type, use.size_bytes, use.sha256, uri)


async def deliver(doors: Doors, use: EvidenceUse) -> Response:
    """The file as an answer that no browser shows or runs; its hash is computed before the first byte goes out."""
    try:
        found = await digest_of(doors.evidence, use.sha256)
        what = "is not what was uploaded"
    except MissingError:
        found, what = None, "is missing from the store"
    except StoreError as error:
        raise _away(error) from error
    if found is None or not found.sound:
        metrics.EVIDENCE_DAMAGED.inc()
        _log.error("evidence is missing or damaged", sha256=use.sha256, found=found.found if found else None)
        raise Problem(
            503,
            "EVIDENCE_DAMAGED",
            "Damaged",
            f"the file {use.sha256} {what}; tell the operator (`milepost evidence check`), "
            "or upload the original again",
        )
    file_name = use.name if use.name.endswith(MEDIA_TYPES[use.media_type]) else use.name + MEDIA_TYPES[use.media_type]
    digest = base64.b64encode(bytes.fromhex(use.sha256)).decode()
    headers = {
        **_HEADERS,
        "Content-Type": use.media_type,
        "Content-Length": str(found.size_bytes),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file_name, safe='')}",
        "Repr-Digest": f"sha-256=:{digest}:",
        "ETag": f'"{use.sha256}"',
    }
    return StreamingResponse(_sound(doors, use.sha256), headers=headers)


async def _sound(doors: Doors, sha256: str) -> AsyncIterator[bytes]:
    digest = new_digest()
    async for piece in doors.evidence.read(sha256):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        # It changed in this moment; an answer that is cut off is one that nobody takes for the file.
        raise StoreError(f"{sha256} changed while it was read")


def wrong_name(name: str) -> str | None:
    """What is wrong with a piece of evidence's name, or None. It is a label: nothing is ever stored under it."""
    if not name.strip() or len(name) > NAME_LENGTH:
        return f"name: {len(name)} characters found; expected 1 to {NAME_LENGTH}"
    if _WRONG_IN_NAME.search(name) or name.strip(". ") != name:
        return f"name: {name!r} found; expected a plain name, no path: final_report"
    return None


def refused(error: RefusedError) -> Problem:
    """The problem of an upload that was refused."""
    return Problem(_STATUSES.get(error.code, 422), error.code, "Not kept", str(error))


def _away(error: StoreError) -> Problem:
    _log.error("the evidence store is away", found=str(error))
    return Problem(
        503,
        "STORE_UNAVAILABLE",
        "Not now",
        "the evidence store cannot be used right now; nothing of this request was kept, send it again",
        headers={"Retry-After": str(RETRY_S)},
    )


def _digest(header: str | None) -> str | None:
    """The SHA-256 of a Content-Digest header in hex; None where there is none of that kind.

    A sender that tried to name one believes that it is compared: what cannot be read is refused, not passed over.
    """
    if header is None or not _NAMES_DIGEST.search(header):
        return None
    found = _DIGEST.search(header)
    try:
        raw = base64.b64decode(found[1], validate=True) if found is not None else b""
    except binascii.Error:
        raw = b""
    if len(raw) != new_digest().digest_size:
        raise Problem(
            422, "INVALID_HASH", "Invalid hash", f"Content-Digest: {header[:80]!r} found; expected sha-256=:BASE64:"
        )
    return raw.hex()
