"""JSON that others wrote, read strictly: each key once, no NaN, and every number as it was spelt."""

import json
import re
from decimal import Decimal
from typing import Any

__all__ = ["NotJsonError", "read_json"]


# An escape that is a half, which may or may not have its other one.
_half_pair = re.compile(r"\\u[dD][89a-fA-F]").search


class NotJsonError(ValueError):
    """Bytes that are no JSON, or not one reading of it; the message says what was found and where."""


class _RepeatedKeyError(ValueError):
    pass


def read_json(raw: bytes) -> Any:
    """The value in UTF-8 bytes; numbers with a point or an exponent are `Decimal`s. Raises `NotJsonError`."""
    try:
        text = raw.decode()
        value = _JSON.decode(text)
        if _half_pair(text) is not None:
            # A pair spelt as two escapes is a character; half of one is none, and no database takes it.
            json.dumps(value, ensure_ascii=False, default=str).encode()
        return value
    except UnicodeEncodeError:
        raise NotJsonError("holds half of a surrogate pair, which is no character") from None
    except UnicodeDecodeError as error:
        raise NotJsonError(f"is no UTF-8 at byte {error.start}") from None
    except _RepeatedKeyError as error:
        raise NotJsonError(f"the key {error} stands twice in one object, where each may stand once") from None
    except json.JSONDecodeError as error:
        raise NotJsonError(f"is no JSON: {error.msg} ({_where(error)})") from None
    except RecursionError:
        raise NotJsonError("is nested too deep") from None
    except ValueError as error:
        raise NotJsonError(str(error)) from None


def _where(error: json.JSONDecodeError) -> str:
    return f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(json.dumps(key)[:80])
            seen.add(key)
    return mapping


def _constant(text: str) -> Any:
    raise ValueError(f"is no JSON: holds {text}, which is no number there")


def _whole(text: str) -> int:
    # Python itself refuses from 4,300 digits on; a thousand is no number of anything.
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"holds a number of {len(text)} digits, more than {_MAX_DIGITS}")
    return int(text)


_MAX_DIGITS = 1_000
# Decimal, so that a number is shown and kept as it was written.
_JSON = json.JSONDecoder(object_pairs_hook=_unique, parse_float=Decimal, parse_int=_whole, parse_constant=_constant)
