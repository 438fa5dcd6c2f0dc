"""A document in JSON: quickly where nothing is wrong with it, and with the lines of its paths where something is."""

import json
import re
from typing import Any

import msgspec

from milepost.contract.tree import MAX_DEPTH, MAX_DIGITS, Builder, Document, Real, TooDeepError, Value

__all__ = ["quick", "read_json"]

# Control characters, surrogates and escapes of them: let `read_json` look at them.
_SUSPECT = re.compile(r"[\x7f-\x9f\ud800-\udfff]")
_SUSPECT_ESCAPE = re.compile(r"\\(?:[bf]|u(?:00[0189]|007f|d[89a-f]))", re.IGNORECASE)
_TOKEN = re.compile(r'[{}\[\]]|"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*|true|false|null')
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}


class _NotQuickError(Exception):
    """The document needs the careful reader."""


def quick(text: str) -> Value:
    """The document's values, or None for whatever `read_json` has to look at: broken, suspect, or keys that repeat."""
    if ("\x7f" in text if text.isascii() else _SUSPECT.search(text)) or ("\\" in text and _SUSPECT_ESCAPE.search(text)):
        return None
    try:
        content = text.encode()
    except UnicodeEncodeError:
        # Cannot be, after _SUSPECT; and is no document if it is.
        return None
    try:
        value: Value = _CANONICAL.decode(content)
        # Keys sorted and no spaces: our own spelling, in which a key that repeats would have been lost.
        if msgspec.json.encode(value, order="sorted") == content:
            return value
    except (ValueError, RecursionError, TypeError):
        # Broken, or with a Real, which does not encode: the other reader decides.
        pass
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError, _NotQuickError):
        return None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise _NotQuickError
    return mapping


def _whole(text: str) -> int | Real:
    return int(text) if len(text) <= MAX_DIGITS else Real(text)


def _constant(text: str) -> Any:
    # NaN and Infinity, which Python reads and JSON does not have.
    raise ValueError(text)


_CANONICAL = msgspec.json.Decoder(float_hook=Real)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_whole, parse_float=Real, parse_constant=_constant, strict=True
)
_SYNTAX = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_constant, strict=True)


def read_json(text: str) -> Document:
    """The document with the lines of its paths; what is no JSON is unreadable. Never raises."""
    builder = Builder()
    document = builder.document
    too_deep = f"nested deeper than {MAX_DEPTH}"
    try:
        _SYNTAX.decode(text)
    except json.JSONDecodeError as error:
        message = f"is no JSON: {error.msg} (column {error.colno})"
        return document.unreadable(error.lineno, message, "mend the syntax: a document that begins with { is JSON")
    except ValueError as error:
        return document.unreadable(None, f"is no JSON: holds {error}", "JSON has no such value")
    except RecursionError:
        return document.unreadable(None, too_deep, "a contract nests 8 deep at most")
    line, at = 1, 0
    try:
        # The text is known to be JSON, so its tokens are enough: commas and colons say nothing new.
        for token in _TOKEN.finditer(text):
            line += text.count("\n", at, token.start())
            at = token.start()
            _take(token.group(), builder, line)
    except TooDeepError as deep:
        return document.unreadable(deep.line, too_deep, "a contract nests 8 deep at most")
    return document


def _take(token: str, builder: Builder, line: int) -> None:
    first = token[0]
    if first == "{":
        builder.open({}, line)
    elif first == "[":
        builder.open([], line)
    elif first in "}]":
        builder.close()
    elif first == '"':
        builder.scalar(json.loads(token), line)
    elif token in _CONSTANTS:
        builder.scalar(_CONSTANTS[token], line)
    elif token.lstrip("-").isdigit():
        builder.scalar(_whole(token), line)
    else:
        builder.scalar(Real(token), line)
