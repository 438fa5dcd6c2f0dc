"""Trigger URLs: `POST /t/TOKEN` reports the milestone that the token is for, once.

`GET` only shows what a POST would do, with a button for people: scanners of links in mails and chats follow every
address, and must not fire it. A call after the first one is answered 2xx and has no effect, so that a system which lost
the answer may try again. What could be guessed or was changed is 404, like what never existed.
"""

import asyncio

from fastapi import APIRouter, Request
from jinja2 import Environment
from starlette.responses import HTMLResponse, Response

from milepost.core.calendar import instant_text
from milepost.core.events import MilestoneEvent
from milepost.gateway.accepting import Accepted, Incoming, accept, trace_of
from milepost.gateway.describing import answers, ref
from milepost.gateway.doors import Door, Doors
from milepost.gateway.problems import Problem, unavailable
from milepost.gateway.sending import accepted
from milepost.observe import logs
from milepost.sql.engine import UnavailableError
from milepost.sql.link_tokens import TRIGGER, LinkKeys, LinkSecretError
from milepost.sql.trigger_urls import TriggerUrl, TriggerUrls

__all__ = ["router"]

router = APIRouter(tags=["trigger URLs"])

_log = logs.logger(__name__)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Robots-Tag": "noindex, nofollow",
}
_page = (
    Environment(autoescape=True)
    .from_string("""\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{{ title }}</title><meta name="viewport" content="width=device-width">
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}
dt{font-weight:600}dd{margin:0 0 .5rem}button{font:inherit;padding:.5rem 1rem}</style></head>
<body><main><h1>{{ title }}</h1>
<dl><dt>Engagement</dt><dd>{{ url.engagement_id }}</dd>
<dt>Milestone</dt><dd>{{ url.milestone_id }}{% if url.occurrence_id %} / {{ url.occurrence_id }}{% endif %}</dd>
<dt>Completion</dt><dd>{{ url.completion }} %</dd></dl>
<p>{{ text }}</p>
{% if asks %}<form method="post"><button type="submit">Report it</button></form>{% endif %}
</main></body></html>
""")
    .render
)


@router.get("/t/{token}", summary="Show what a trigger URL would report", response_class=HTMLResponse)
async def show(token: str, doors: Door) -> Response:
    """A page with a button; nothing is done."""
    _, url = await _found(token, doors)
    over = _over(url, doors.now())
    if url.used_at is not None:
        return _html(url, "Already reported", f"It was reported at {instant_text(url.used_at)}.")
    if over is not None:
        return _html(url, "No longer valid", over, status=410)
    text = f"The address works once, until {instant_text(url.expires_at)}."
    return _html(url, "Report a milestone?", text, asks=True)


@router.post(
    "/t/{token}",
    status_code=202,
    summary="Report the milestone of a trigger URL",
    responses={**answers(202, ref("Accepted"), "Kafka has the report", writes=True), 410: {"description": "Too late"}},
)
async def fire(token: str, request: Request, doors: Door) -> Response:
    """202 once the brokers have the report; again 202, without effect, whenever it is called again."""
    urls, url = await _found(token, doors)
    over = _over(url, doors.now())
    if over is not None:
        raise Problem(410, "TRIGGER_URL_OVER", "No longer valid", over)
    url = await asyncio.to_thread(urls.use, url.trigger_id, await doors.time())
    if url.used_at is None:  # revoked at this moment
        raise Problem(410, "TRIGGER_URL_OVER", "No longer valid", "this trigger URL was revoked")
    event = _report(url, url.used_at)
    if url.published_at is None:
        taken = await accept(doors, [Incoming("milestone-events", event)], trace=trace_of(request.headers))
        try:
            await asyncio.to_thread(urls.published, url.trigger_id, doors.now())
        except UnavailableError as error:
            _log.warning("a report is in Kafka but not marked so; a repeat is sent again", found=str(error))
    else:
        taken = [Accepted(event.event_id, event.source, "milestone-events", True, None)]
    if "text/html" in request.headers.get("accept", ""):
        return _html(url, "Reported", f"It was reported at {instant_text(url.used_at)}.", status=202)
    return accepted(taken)


async def _found(token: str, doors: Doors) -> tuple[TriggerUrls, TriggerUrl]:
    try:
        urls = TriggerUrls(doors.engine, LinkKeys.of(doors.settings, TRIGGER))
    except LinkSecretError as error:
        _log.error("trigger URLs cannot be verified", found=str(error))
        raise unavailable("this gateway has no secret to verify trigger URLs with") from error
    url = await asyncio.to_thread(urls.look_up, token)
    if url is None:
        raise Problem(404, "UNKNOWN_TRIGGER_URL", "Not found", "this address is no trigger URL; copy it whole")
    return urls, url


def _over(url: TriggerUrl, now: int) -> str | None:
    """Why it reports nothing any more, if so; what was used once may be called again."""
    if url.used_at is not None:
        return None
    if url.revoked_at is not None:
        return "This trigger URL was revoked."
    if now >= url.expires_at:
        return f"This trigger URL was valid until {instant_text(url.expires_at)}; ask for another."
    return None


def _report(url: TriggerUrl, used_at: int) -> MilestoneEvent:
    return MilestoneEvent(
        event_id=f"trigger-url {url.trigger_id}",
        source=url.source,
        engagement_id=url.engagement_id,
        milestone_id=url.milestone_id,
        kind="REPORTED",
        occurred_at=used_at,
        occurrence_id=url.occurrence_id,
        completion=url.completion,
        reported_by=url.reported_by,
    )


def _html(url: TriggerUrl, title: str, text: str, *, asks: bool = False, status: int = 200) -> Response:
    return HTMLResponse(_page(url=url, title=title, text=text, asks=asks), status, _HEADERS)
