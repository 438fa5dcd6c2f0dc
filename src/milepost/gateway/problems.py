"""Errors as RFC 9457 problem documents: `raise Problem(...)` anywhere in a route, and every other error too.

A problem has `type` (always "about:blank"), `status`, `title`, `detail`, and two members of our own: `code`, a word in
capitals for programs, and `errors`, one object for each fault of the request: `pointer` (RFC 6901, into the body; "" is
the whole of it), `detail`, `code`.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from milepost.kafka.async_publishing import PublishError
from milepost.observe import logs
from milepost.sql.engine import UnavailableError

__all__ = ["MEDIA_TYPE", "Fault", "Problem", "install", "pointer", "problem_body", "summary", "unavailable"]

MEDIA_TYPE = "application/problem+json"
# What a sender should wait before it tries again while the brokers or the database are away.
RETRY_S = 5
# More faults than a person reads; `errors` says how many there are.
MAX_FAULTS = 100

_log = logs.logger(__name__)


class Fault(NamedTuple):
    """One thing that is wrong with a request: where in its body, what was found and what is expected."""

    pointer: str
    detail: str
    code: str


class Problem(HTTPException):
    """An answer that is an error. `headers` go with it; `detail` is a sentence that names the way out."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.status, self.code, self.title = status, code, title
        self.errors, self.extra = errors, dict(extra or {})

    def response(self) -> Response:
        """The problem as an answer."""
        return Response(problem_body(self), self.status, self.headers or {}, MEDIA_TYPE)


def problem_body(problem: Problem) -> bytes:
    """The document of a problem, as it is sent."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "status": problem.status,
        "title": problem.title,
        "detail": problem.detail,
        "code": problem.code,
        **problem.extra,
    }
    if problem.errors:
        document["errors"] = [fault._asdict() for fault in problem.errors[:MAX_FAULTS]]
        document["error_count"] = len(problem.errors)
    return json.dumps(document, ensure_ascii=True).encode()


def pointer(*parts: str | int) -> str:
    """A JSON Pointer of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def unavailable(what: str) -> Problem:
    """503: something that the answer needs is away, and nothing was acknowledged."""
    return Problem(
        503,
        "UNAVAILABLE",
        "Not now",
        f"{what}; nothing of this request was acknowledged, send it again with the same ids",
        headers={"Retry-After": str(RETRY_S)},
    )


def install(app: FastAPI) -> None:
    """Make problem documents of everything that goes wrong in `app`."""

    async def broker_away(_: Request, error: Exception) -> Response:
        _log.warning("events were not acknowledged", found=str(error))
        return unavailable("Kafka did not acknowledge the events").response()

    async def database_away(_: Request, error: Exception) -> Response:
        _log.warning("the database is away", found=str(error))
        return unavailable("the database is away").response()

    async def http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error, Problem):
            return error.response()
        status = HTTPStatus(error.status_code)
        code, detail = _PHRASES.get(status, (status.name, status.description or status.phrase))
        return Problem(status, code, status.phrase, detail, headers=error.headers).response()

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = error.errors()
        faults = [_fault(one) for one in found]
        # Of a body that could be read the content is wrong; anything else is a request that nobody should have made.
        status = 422 if all(one["loc"][0] == "body" for one in found) else 400
        return Problem(status, "INVALID_REQUEST", "Invalid request", summary(faults), faults).response()

    async def unexpected(_: Request, error: Exception) -> Response:
        # The boundary of a request: told to the log with its traceback, to the sender without.
        return Problem(
            500, "INTERNAL_ERROR", "Internal error", "the gateway failed at this request; its log says why"
        ).response()

    app.add_exception_handler(PublishError, broker_away)
    app.add_exception_handler(UnavailableError, database_away)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unexpected)


_PHRASES = {
    HTTPStatus.NOT_FOUND: ("NOT_FOUND", "there is nothing at this address"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("METHOD_NOT_ALLOWED", "this address does not take that method; see Allow"),
}


def _fault(found: Mapping[str, Any]) -> Fault:
    where, *place = found["loc"]
    named = pointer(*place) if where == "body" else f"{where} parameter {'.'.join(map(str, place))}"
    return Fault(named, str(found["msg"]), str(found["type"]).upper())


def summary(faults: Sequence[Fault]) -> str:
    """One sentence for several faults: the first, and how many more there are."""
    first = faults[0]
    more = f" (and {len(faults) - 1} more in errors)" if len(faults) > 1 else ""
    return f"{first.pointer or 'the request'}: {first.detail}{more}"
