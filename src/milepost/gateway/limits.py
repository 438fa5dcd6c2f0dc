"""What holds for every request, whatever its route: bounds, headers, a correlation id, one line in the log, metrics.

- A body is bounded in size and time (`bodies.Bounded`), and the number of requests at a time (503).
- An API key in the query string is refused (400): it is in somebody's log by now.
- Every answer has headers that keep browsers from guessing, caching and framing; a route may set its own instead. There
  are no CORS headers: no page of another origin may read an answer.
- `X-Request-ID` is taken from the request if it is a plain word, else made; it is in the answer and in every log entry.
"""

import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from milepost.gateway import keys
from milepost.gateway.bodies import Bounded
from milepost.gateway.problems import Problem
from milepost.observe import logs, metrics
from milepost.settings import Settings

__all__ = ["Guard"]

# Route of a request that has none: a stranger's addresses must not become labels.
_NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# Names under which people put keys into addresses.
_KEY_NAMES = frozenset({"api_key", "apikey", "api-key", "access_token", "x-api-key", "authorization"})
# More than any route takes; the parser stops there.
_MAX_PARAMETERS = 100

_log = logs.logger(__name__)


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        bounded = Bounded(receive, self._settings.gateway_max_body_bytes, self._settings.gateway_body_timeout_ms / 1000)
        if scope["method"] == "HEAD":  # as GET; the server leaves the body out, for its own scope still says HEAD
            scope = {**scope, "method": "GET"}
        answer = _Answer(send, _request_id(headers), bounded, _announces_body(headers))
        scope["milepost.body"] = bounded
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=answer.request_id)
        self._running += 1
        metrics.GATEWAY_RUNNING.inc()
        try:
            refused = self._refused(scope)
            if refused is not None:
                await refused.response()(scope, receive, answer)
            else:
                await self._app(scope, bounded, answer)
        finally:
            self._running -= 1
            metrics.GATEWAY_RUNNING.dec()
            _told(scope, answer, time.perf_counter() - started)

    def _refused(self, scope: Scope) -> Problem | None:
        if self._running > self._settings.gateway_max_requests:
            return Problem(
                503,
                "TOO_MANY_REQUESTS_AT_A_TIME",
                "Busy",
                f"this gateway answers {self._settings.gateway_max_requests} requests at a time; try again",
                headers={"Retry-After": "1"},
            )
        names = {name for name, _ in scope["headers"]}
        if b"content-length" in names and b"transfer-encoding" in names:
            # Two lengths of one body (RFC 9112, 6.3): a proxy before this may have believed the other one.
            detail = "Content-Length and Transfer-Encoding exclude each other; send one of them"
            return Problem(400, "TWO_LENGTHS", "Bad request", detail, headers={"Connection": "close"})
        if "\0" in scope["path"]:
            return Problem(400, "NUL_IN_ADDRESS", "Bad request", "the address holds a NUL character; remove %00")
        return _query_refused(scope["query_string"])


def _query_refused(query: bytes) -> Problem | None:
    if not query:
        return None
    try:
        found = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        return Problem(400, "TOO_MANY_PARAMETERS", "Bad request", f"more than {_MAX_PARAMETERS} query parameters")
    if any("\0" in name or "\0" in value for name, value in found):
        return Problem(400, "NUL_IN_ADDRESS", "Bad request", "the query holds a NUL character; remove %00")
    if any(name.lower() in _KEY_NAMES or keys.PATTERN.search(value) for name, value in found):
        return Problem(
            400,
            "KEY_IN_QUERY",
            "Key in the address",
            "an API key does not belong into an address, which is written into logs: revoke it with `milepost keys "
            "revoke`, and send the new one as Authorization: Bearer mp_...",
        )
    return None


class _Answer:
    """The answer on its way out: headers put on, status noticed."""

    def __init__(self, send: Send, request_id: str, bounded: Bounded, has_body: bool) -> None:
        self._send, self.request_id, self._bounded, self._has_body = send, request_id, bounded, has_body
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.request_id
            if self._has_body and not self._bounded.whole:
                # Nobody will read the rest of the body; it may be endless.
                headers["Connection"] = "close"
        await self._send(message)


def _announces_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _told(scope: MutableMapping[str, Any], answer: _Answer, took_s: float) -> None:
    path = getattr(scope.get("route"), "path_format", None)
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    route = f"{method} {path}" if path is not None else _NO_ROUTE
    # No answer: the client went away first.
    status = str(answer.status or 499)
    metrics.GATEWAY_REQUESTS.labels(route, status).inc()
    metrics.GATEWAY_REQUEST_SECONDS.labels(route).observe(took_s)
    _log.info("answered", route=route, status=status, took_s=round(took_s, 4))
