"""Pages of a list: `limit` and `cursor` in, items and the next cursor out, as JSON or CSV by `Accept`.

A cursor is where the last page ended, opaque and harmless: it says nothing that its holder has not seen, and another
one only starts elsewhere in the same list. A CSV without a `limit` is the whole list, sent as it is read.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from milepost.codec.json_values import NotJsonError, read_json
from milepost.gateway import spreadsheets
from milepost.gateway.problems import Problem
from milepost.sql.pages import Key, Page

__all__ = ["Cursor", "Limit", "answer", "listed", "wants"]

DEFAULT_ITEMS = 100
MAX_ITEMS = 1_000
_MAX_CURSOR_LENGTH = 2_048
_LONGEST = 1 << 62

Json = dict[str, Any]
Limit = Annotated[int | None, Query(ge=1, le=MAX_ITEMS, description=f"Items on a page; {DEFAULT_ITEMS} by default")]
Cursor = Annotated[
    str | None, Query(max_length=_MAX_CURSOR_LENGTH, description="`next` of the page before; without it the first page")
]


def _read(cursor: str | None, kinds: Sequence[type]) -> Key | None:
    if cursor is None:
        return None
    try:
        found = read_json(base64.b64decode(cursor.encode("ascii") + b"==", altchars=b"-_", validate=False))
    except (binascii.Error, ValueError, NotJsonError):
        found = None
    if (
        not isinstance(found, list)
        or [type(part) for part in found] != list(kinds)
        or any(abs(part) > _LONGEST if isinstance(part, int) else "\0" in part for part in found)
    ):
        raise Problem(
            400,
            "INVALID_CURSOR",
            "Bad request",
            "cursor: this is no cursor of this list; send `next` of the page before, or none for the first page",
        )
    return tuple(found)


def _written(key: Key | None) -> str | None:
    return None if key is None else base64.urlsafe_b64encode(json.dumps(key).encode()).rstrip(b"=").decode()


def wants(request: Request, *offered: str) -> str:
    """The media type of the answer: the first of `offered` that `Accept` likes best. Raises `Problem` 406."""
    accept = request.headers.get("accept", "*/*")
    liked = {kind: _quality(accept, kind) for kind in offered}
    best = max(offered, key=lambda kind: liked[kind])
    if not liked[best]:
        raise Problem(
            406, "NOT_ACCEPTABLE", "Not acceptable", f"Accept: {accept[:80]!r}; offered is {' and '.join(offered)}"
        )
    return best


def _quality(accept: str, kind: str) -> float:
    """How much `kind` is wanted, 0 to 1; the most particular range counts."""
    best: tuple[int, float] = (-1, 0.0)
    for part in accept.split(",")[:50]:
        named, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = min(max(float(parameter[2:]), 0.0), 1.0)
                except ValueError:
                    quality = 0.0
        ranges = {"*/*": 0, f"{kind.partition('/')[0]}/*": 1, kind: 2}
        if named in ranges and ranges[named] > best[0]:
            best = (ranges[named], quality)
    return best[1]


def listed(
    request: Request,
    ask: Callable[[Key | None, int], Page[Any]],
    show: Callable[[Any], Json],
    kinds: Sequence[type],
    cursor: str | None,
    limit: int | None,
    columns: Sequence[str],
    beside: Callable[[], Json] = dict,
) -> Response:
    """One page of a list, or as CSV without a limit all of it. `kinds` are the types of the key's parts, `beside` gives
    what stands beside the items in JSON. Blocks."""
    kind = wants(request, "application/json", "text/csv")
    after = _read(cursor, kinds)
    if kind == "text/csv" and limit is None:
        pages = _all(ask, show, after)
        first = next(pages)  # what is away is away before the answer begins
        return StreamingResponse(spreadsheets.written(columns, first, pages), media_type="text/csv; charset=utf-8")
    page = ask(after, limit or DEFAULT_ITEMS)
    following = _written(page.end)
    items = [show(item) for item in page.items]
    if kind == "text/csv":
        text = "".join(spreadsheets.written(columns, items, iter(())))
        response = Response(text, media_type="text/csv; charset=utf-8")
    else:
        response = answer({"items": items, "next": following, **beside()})
    if following is not None:
        query = request.url.include_query_params(cursor=following)
        response.headers["Link"] = f'<{query.path}?{query.query}>; rel="next"'
    return response


def _all(
    ask: Callable[[Key | None, int], Page[Any]], show: Callable[[Any], Json], after: Key | None
) -> Iterator[list[Json]]:
    while True:
        page = ask(after, MAX_ITEMS)
        yield [show(item) for item in page.items]
        if page.end is None:
            return
        after = page.end


def answer(document: Json, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(json.dumps(document, ensure_ascii=False), status, media_type="application/json")
