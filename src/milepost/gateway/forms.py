"""What a browser sends from a form: fields within a limit, files as streams, nothing written down on the way.

multipart/form-data (python-multipart), which files need, and application/x-www-form-urlencoded, for forms without any.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from milepost.gateway.bodies import media_type, within
from milepost.gateway.problems import Problem

__all__ = ["FIELDS_BYTES", "File", "read_form"]

FIELDS_BYTES = 200_000
"""What everything but files takes at most: fields, headers of parts, boundaries."""

_MAX_FIELDS = 100
_FIELD_BYTES = 50_000

File = tuple[str, str, str, AsyncIterator[bytes]]
"""A file as it comes: the field's name, the name that its sender gave it, its media type, its bytes."""

Take = Callable[[File], Awaitable[None]]


async def read_form(request: Request, limit_bytes: int, take: Take) -> dict[str, str]:
    """The form's fields; each file goes to `take`, in the order of the form, and what it leaves is passed over.

    Raises `Problem`: 400 for what is no form, 408, 413, 415; and whatever `take` raises.
    """
    kind = media_type(request)
    if kind == "application/x-www-form-urlencoded":
        raw = b"".join([piece async for piece in within(request, limit_bytes=FIELDS_BYTES)])
        try:
            pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
        except ValueError as error:
            raise _no_form(str(error)) from error
        return _once(pairs)
    if kind != "multipart/form-data":
        raise Problem(
            415, "MEDIA_TYPE_NOT_TAKEN", "Media type", f"Content-Type is {kind[:80]!r}; send multipart/form-data"
        )
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise _no_form("the content type names no boundary")
    return await _read_parts(_parts(within(request, limit_bytes=limit_bytes), boundary), take)


async def _read_parts(parts: AsyncIterator[tuple[str, Any]], take: Take) -> dict[str, str]:
    pairs: list[tuple[str, str]] = []
    async for kind, value in parts:
        if kind != "head":
            continue
        if len(pairs) >= _MAX_FIELDS:
            raise _no_form(f"more than {_MAX_FIELDS} fields")
        name, file_name, file_type = value
        pieces = _pieces(parts)
        if file_name is not None:
            await take((name, file_name, file_type, pieces))
            async for _ in pieces:
                pass
            continue
        text = b""
        async for piece in pieces:
            text += piece
            if len(text) > _FIELD_BYTES:
                raise Problem(413, "FIELD_TOO_LARGE", "Too large", f"{name[:80]}: more than {_FIELD_BYTES} bytes")
        try:
            pairs.append((name, text.decode()))
        except UnicodeDecodeError as error:
            raise _no_form(f"{name[:80]}: not UTF-8") from error
    return _once(pairs)


async def _pieces(parts: AsyncIterator[tuple[str, Any]]) -> AsyncIterator[bytes]:
    """The bytes of the part whose head was read last."""
    async for kind, value in parts:
        if kind == "end":
            return
        yield value


async def _parts(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[tuple[str, Any]]:
    """("head", (name, file's name or None, media type)), ("data", bytes), ..., ("end", None) for each part."""
    found = _Found()
    try:
        parser = MultipartParser(boundary, found.callbacks())  # type: ignore[arg-type]
        async for piece in body:
            parser.write(piece)
            for event in found.taken():
                yield event
        parser.finalize()
    except FormParserError as error:
        raise _no_form(str(error)) from error
    for event in found.taken():
        yield event
    if not found.whole:
        raise _no_form("it ends before its last boundary")


class _Found:
    """What the parser calls back with, in order."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = b"", b""
        self.whole = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begun,
            "on_header_field": self._in_field,
            "on_header_value": self._in_value,
            "on_header_end": self._header,
            "on_headers_finished": self._head,
            "on_part_data": lambda data, start, end: self._events.append(("data", data[start:end])),
            "on_part_end": lambda: self._events.append(("end", None)),
            "on_end": self._ended,
        }

    def taken(self) -> list[tuple[str, Any]]:
        """What was found since the last time."""
        found, self._events = self._events, []
        return found

    def _begun(self) -> None:
        self._headers = {}

    def _in_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _in_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _head(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise FormParserError("a part without a field's name")
        file_name = options.get(b"filename")
        text = None if file_name is None else file_name.decode("utf-8", "replace")
        file_type = self._headers.get(b"content-type", b"").decode("latin-1")
        self._events.append(("head", (options[b"name"].decode("utf-8", "replace"), text, file_type)))

    def _ended(self) -> None:
        self.whole = True


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Fields by name; one that comes twice could mean two things."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _no_form("a field comes twice")
    return fields


def _no_form(why: str) -> Problem:
    return Problem(400, "INVALID_FORM", "Bad request", f"the request is no form that can be read: {why[:200]}")
