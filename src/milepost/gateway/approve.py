"""The page behind an approval link: GET shows and never acts, POST takes one decision.

What guards it is the token, 256 bits that only the person has who was asked; there is no cookie that another site could
use. A form that another site sends is refused all the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Path, Request
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response

from milepost.codec.json_forms import event_to_json
from milepost.core.ids import canonical_json
from milepost.gateway import evidence, wording
from milepost.gateway.approval_view import receipt_of, view_of
from milepost.gateway.deciding import COMMENT_LENGTH, DECISIONS, decide, judge, needed, send
from milepost.gateway.doors import Door, Doors
from milepost.gateway.forms import FIELDS_BYTES, File, read_form
from milepost.gateway.pages import page
from milepost.gateway.problems import RETRY_S, Problem
from milepost.gateway.standing import Standing, standing_of
from milepost.gateway.uploads import Uploads
from milepost.kafka.async_publishing import PublishError
from milepost.observe import logs
from milepost.sql.engine import UnavailableError
from milepost.sql.evidence import used_in
from milepost.sql.link_tokens import LinkSecretError
from milepost.sql.links import Link
from milepost.sql.occurrences import Occurrences
from milepost.store.evidence.media_types import MEDIA_TYPES
from milepost.store.evidence.port import is_hash

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

# A person's pace, and their browser's.
_REQUESTS_PER_S = 10
# How long a click waits for the join and the ledger, so that most receipts say at once what came of it.
_OUTCOME_S = 3.0
_POLL_S = 0.15
# Shown with what they are about; the others are nobody's business any more.
_SHOWN = ("GRANTED", "DEEMED", "REJECTED", "TIMED_OUT", "SUPERSEDED")

_log = logs.logger(__name__)

Token = Annotated[str, Path()]
Handler = Callable[..., Awaitable[Response]]


def _for_people(handler: Handler) -> Handler:
    """What goes wrong is a page, too."""

    @wraps(handler)
    async def told(**given: Any) -> Response:
        try:
            return await handler(**given)
        except Problem as problem:
            return _message(problem.status, problem.title, problem.detail, dict(problem.headers or {}))
        except PublishError as error:
            _log.warning("a decision was not acknowledged", found=str(error))
            return _message(503, *wording.KEPT, {"Retry-After": str(RETRY_S)}, again=given["token"])
        except UnavailableError as error:
            _log.warning("the database is away", found=str(error))
            return _message(503, *wording.AWAY, {"Retry-After": str(RETRY_S)}, again=given["token"])
        except ClientDisconnect:
            return Response(status_code=400)

    return told


_STATUSES = {"EXPIRED": 410, "UNKNOWN": 503, "NOT_IN_ROLE": 403}
_ENDED = 409


@router.get("/approve/{token}")
@_for_people
async def show(token: Token, doors: Door) -> Response:
    """What is to be signed, what was decided, or why nothing can be; changes nothing."""
    link = await _opened(doors, token)
    standing = await asyncio.to_thread(standing_of, doors, link, await doors.time())
    return await asyncio.to_thread(_page_of, doors, token, standing)


@router.post("/approve/{token}")
@_for_people
async def sign(token: Token, request: Request, doors: Door) -> Response:
    """Take the decision of the form, once; leads to its receipt."""
    if _from_elsewhere(request, doors):
        return _message(403, "Not from here", "This form was sent by another site, or by a page that was saved.")
    link = await _opened(doors, token)
    standing = await asyncio.to_thread(standing_of, doors, link, await doors.time())
    uploads = Uploads(doors, link, needed(standing))
    limit_bytes = FIELDS_BYTES + (len(needed(standing)) + 1) * doors.settings.evidence_max_bytes
    fields = await read_form(request, limit_bytes, uploads.take if standing.state == "OPEN" else _passed_over)
    if standing.state == "OPEN":
        await uploads.recall(fields)
        judged = judge(standing, fields, uploads.evidence(), await doors.time())
        faults = {**judged.faults, **uploads.faults}
        if judged.event is None or faults:
            return await asyncio.to_thread(_form, doors, token, standing, fields, uploads, faults)
        taken = await decide(doors, link, judged.event)
        _log.info("decided by link", link_id=link.link_id, decision=taken.decision)
        own = taken.event == canonical_json(event_to_json(judged.event)).decode()
        if not own and taken.decision != judged.event.decision:
            standing = await asyncio.to_thread(standing_of, doors, taken, await doors.time())
            return await asyncio.to_thread(_receipt, doors, token, standing, used=True)
        await _outcome(doors, taken)
    elif standing.state == "DECIDED":
        if DECISIONS.get(fields.get("decision", "")) != link.decision:
            return await asyncio.to_thread(_receipt, doors, token, standing, used=True)
        await send(doors, link)
    else:
        return await asyncio.to_thread(_page_of, doors, token, standing)
    # What a reload would send again is the page, not the decision.
    return RedirectResponse(token, 303)


@router.get("/approve/{token}/evidence/{sha256}")
@_for_people
async def download(token: Token, sha256: Annotated[str, Path()], doors: Door) -> Response:
    """A file that the page names, to be saved."""
    link = await _opened(doors, token)
    standing = await asyncio.to_thread(standing_of, doors, link, await doors.time())
    if link.expires_at <= doors.now() or standing.state not in ("OPEN", "DECIDED", *_SHOWN):
        return await asyncio.to_thread(_page_of, doors, token, standing)
    named = {piece.sha256.lower() for piece in standing.asked.evidence} if standing.asked is not None else set()
    found = await asyncio.to_thread(used_in, doors.engine, link.engagement_id, {sha256}) if is_hash(sha256) else {}
    use = found.get(sha256)
    if use is None or (sha256 not in named and use.uploaded_by != f"link {link.link_id}"):
        return _message(404, "Not here", "There is no such file for this link.")
    return await evidence.deliver(doors, use)


async def _opened(doors: Doors, token: str) -> Link:
    """The link of a token. Raises `Problem` 404 for whatever opens nothing, 429."""
    try:
        links = doors.links
    except LinkSecretError:
        raise Problem(404, "UNKNOWN_LINK", *wording.OPENS_NOTHING) from None
    link = await asyncio.to_thread(links.look_up, token)
    if link is None:
        raise Problem(404, "UNKNOWN_LINK", *wording.OPENS_NOTHING)
    wait_us = doors.rates.wait_us(f"link {link.link_id}", _REQUESTS_PER_S, doors.now())
    if wait_us:
        raise Problem(
            429,
            "TOO_MANY_REQUESTS",
            "Too many requests",
            "Please wait a moment and try again.",
            headers={"Retry-After": str(-(-wait_us // 1_000_000))},
        )
    return link


def _from_elsewhere(request: Request, doors: Doors) -> bool:
    """Whether a browser says that another site's page sent the form. What is no browser says nothing."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    own = {urlsplit(doors.settings.public_url).netloc, request.headers.get("host", "")}
    return origin is not None and urlsplit(origin).netloc not in own


async def _passed_over(_: File) -> None:
    """Nothing is kept of a form whose link cannot be used."""


async def _outcome(doors: Doors, link: Link) -> None:
    """Wait a moment for what comes of a decision."""
    known, loop = Occurrences(doors.engine), asyncio.get_running_loop()
    until = loop.time() + _OUTCOME_S
    while loop.time() < until:
        event_id = f"link-{link.link_id}"
        if await asyncio.to_thread(known.outcome, link.engagement_id, "approvals", event_id) is not None:
            return
        await asyncio.sleep(_POLL_S)


def _page_of(doors: Doors, token: str, standing: Standing) -> Response:
    if standing.state == "OPEN":
        return _form(doors, token, standing, {}, None, {})
    if standing.state == "DECIDED":
        return _receipt(doors, token, standing, used=False)
    status = _STATUSES.get(standing.state, _ENDED)
    heading, explanation = wording.CLOSED[standing.state]
    if standing.state not in _SHOWN:
        if standing.state == "UNKNOWN":
            return _message(status, heading, explanation, {"Retry-After": "5"}, again=token)
        return _message(status, heading, explanation)
    successor = None
    if standing.successor is not None:
        # The same person, the same role, the same milestone: all that is new is what is to be looked at.
        successor = doors.links.issue(standing.successor, standing.link.person, doors.now()).token
    view = view_of(doors, standing, standing.at)
    return page(
        "closed.html", status, token=token, view=view, heading=heading, explanation=explanation, successor=successor
    )


def _form(
    doors: Doors,
    token: str,
    standing: Standing,
    fields: Mapping[str, str],
    uploads: Uploads | None,
    faults: Mapping[str, str],
) -> Response:
    view = view_of(doors, standing, standing.at)
    anchors = {f"evidence:{name}": f"evidence-{number}" for number, name in enumerate(view.needed, 1)}
    return page(
        "approve.html",
        422 if faults else 200,
        token=token,
        view=view,
        values={name: fields.get(name, "") for name in ("decision", "comment", "certified_completion")},
        faults=dict(faults),
        anchors=[(anchors.get(name, name), fault) for name, fault in faults.items()],
        kept=dict(uploads.kept) if uploads is not None else {},
        accept=",".join(sorted(set(MEDIA_TYPES.values()))),
        most=wording.size(doors.settings.evidence_max_bytes),
        comment_length=COMMENT_LENGTH,
    )


def _receipt(doors: Doors, token: str, standing: Standing, *, used: bool) -> Response:
    """What was decided; `used`: in answer to an attempt to decide otherwise."""
    receipt = receipt_of(doors, standing)
    assert receipt is not None
    approved = receipt.decision == "APPROVED"
    if used:
        heading, tone = "This link was used already", ""
        explanation = f"It was {'approved' if approved else 'rejected'} on {receipt.decided}. That decision stands."
    elif not receipt.sent:
        (heading, explanation), tone = wording.KEPT, ""
    else:
        heading = "You approved this submission" if approved else "You rejected this submission"
        explanation, tone = f"Recorded on {receipt.decided}.", "good" if approved else "bad"
    return page(
        "receipt.html",
        409 if used else 200,
        token=token,
        view=view_of(doors, standing, standing.at),
        receipt=receipt,
        heading=heading,
        explanation=explanation,
        tone=tone,
    )


def _message(
    status: int, heading: str, explanation: str, headers: dict[str, str] | None = None, again: str | None = None
) -> Response:
    return page("message.html", status, headers, heading=heading, explanation=explanation, again=again, tone="")
