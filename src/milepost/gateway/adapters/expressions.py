"""How an endpoint says where in a sender's document a value stands: data, never code.

    kind = "REPORTED"                                        # always this
    milestone_id = { pointer = "/issue/key" }                # RFC 6901; where a list is gone through, from its item
    engagement_id = { pointer = "$/project" }                # "$" in front: from the whole document
    occurrence_id = { header = "x-request-id" }              # a header of the request
    event_id = { template = "{/id}:{/version}" }             # pointers in braces; a brace itself is doubled
    completion = { pointer = "/state", map = { done = "100", half = "50" } }
    occurred_at = { pointer = "/ts", read_as = "unix_ms" }   # or unix_seconds
    comment = { pointer = "/note", optional = true }         # the field is left out where there is none
    unit = { pointer = "/unit", default = "percent" }

A value is text. Numbers become the text that was sent ("99.90" stays "99.90"), true and false their words; null counts
as missing; objects and lists are a finding.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self

from jsonpointer import EndOfList, JsonPointer, JsonPointerException
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from milepost.codec.json_forms import shown
from milepost.core.calendar import instant_text
from milepost.core.checks import INSTANT_MAX, INSTANT_MIN
from milepost.gateway.adapters.deliveries import Finding

__all__ = ["Expression", "Scope", "evaluate", "items", "text_of"]

# As long as a name or a comment; what is longer is no template but a document.
_MAX_TEXT = 2_000
_DOCUMENT = "$"
_MICROSECONDS = {"unix_seconds": 1_000_000, "unix_ms": 1_000}
_number = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,9})?").fullmatch
# A doubled brace, a pointer in braces, or a brace that stands alone, which is a mistake.
_BRACES = re.compile(r"\{\{|\}\}|\{(?P<pointer>[^{}]*)\}|[{}]")


class Scope(NamedTuple):
    """What an expression looks at: the document, the item that is being gone through (else the document), headers.

    `at` is the pointer of the item, for findings.
    """

    document: Any
    item: Any
    headers: Mapping[str, str]
    at: str = ""


class Expression(BaseModel):
    """One value: exactly one of `constant`, `pointer`, `header` and `template`. A plain string is a constant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    constant: str | None = Field(default=None, max_length=_MAX_TEXT)
    pointer: str | None = Field(default=None, max_length=_MAX_TEXT)
    header: str | None = Field(default=None, max_length=100)
    template: str | None = Field(default=None, max_length=_MAX_TEXT)
    map: dict[str, str] = {}
    default: str | None = None
    optional: bool = False
    read_as: Literal["text", "unix_seconds", "unix_ms"] = "text"

    @model_validator(mode="before")
    @classmethod
    def _a_string_is_a_constant(cls, value: object) -> object:
        return {"constant": value} if isinstance(value, str) else value

    @field_validator("pointer")
    @classmethod
    def _is_a_pointer(cls, value: str | None) -> str | None:
        if value is not None:
            _pointer(value.removeprefix(_DOCUMENT))
        return value

    @field_validator("template")
    @classmethod
    def _has_pointers(cls, value: str | None) -> str | None:
        for found in _BRACES.finditer(value or ""):
            if found["pointer"] is not None:
                _pointer(found["pointer"].removeprefix(_DOCUMENT))
            elif found[0] in "{}":
                raise ValueError(f"a brace stands alone at {found.start()}; write {{{{ or }}}} for one")
        return value

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        kinds = [self.constant, self.pointer, self.header, self.template]
        if len([kind for kind in kinds if kind is not None]) != 1:
            raise ValueError("give exactly one of constant, pointer, header and template")
        return self


def evaluate(expression: Expression, scope: Scope) -> str | Finding | None:
    """The text that an expression finds; a finding for what it cannot use; None where there is none and need not be."""
    found = _found(expression, scope)
    if isinstance(found, Finding):
        return found
    if found is None:
        if expression.default is not None or expression.optional:
            return expression.default
        return Finding(_place(expression, scope), "is missing")
    if expression.map:
        known = expression.map.get(found, expression.default)
        if known is None and not expression.optional:
            expected = ", ".join(list(expression.map)[:10])
            return Finding(_place(expression, scope), f"is {shown(found)}; the endpoint's map knows {expected}")
        return known
    return found if expression.read_as == "text" else _instant(expression, found, scope)


def items(pointer: str | None, scope: Scope) -> Iterator[Scope] | Finding:
    """The scopes of a list's items; of the document itself for None. A finding where there is no list."""
    if pointer is None:
        return iter((scope,))
    found = _resolve(pointer, scope)
    if not isinstance(found, list):
        return Finding(pointer, f"{'is missing' if found is None else 'is ' + shown(found)}; expected a list")
    return (scope._replace(item=item, at=f"{pointer}/{place}") for place, item in enumerate(found))


def text_of(value: object) -> str | None:
    """A scalar as text: numbers as they were spelt, true and false as words; None for objects, lists and null."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | Decimal():
            return str(value)
    return None


def _found(expression: Expression, scope: Scope) -> str | Finding | None:
    if expression.header is not None:
        return scope.headers.get(expression.header.lower())
    if expression.template is not None:
        return _filled(expression.template, scope)
    if expression.pointer is None:
        return expression.constant
    value = _resolve(expression.pointer, scope)
    if isinstance(value, dict | list):
        return Finding(_place(expression, scope), f"is {shown(value)}; expected a text or a number")
    return text_of(value)


def _filled(template: str, scope: Scope) -> str | Finding | None:
    parts, last = [], 0
    for brace in _BRACES.finditer(template):
        parts.append(template[last : brace.start()])
        last = brace.end()
        if brace["pointer"] is None:
            parts.append(brace[0][0])
            continue
        value = text_of(_resolve(brace["pointer"], scope))
        if value is None:
            return None
        parts.append(value)
    return "".join((*parts, template[last:]))


def _resolve(text: str, scope: Scope) -> Any:
    value = scope.document if text.startswith(_DOCUMENT) else scope.item
    try:
        found = _pointer(text.removeprefix(_DOCUMENT)).resolve(value, None)
    except (TypeError, ValueError):  # a step into what has no parts
        return None
    return None if isinstance(found, EndOfList) else found


@lru_cache(maxsize=4_096)
def _pointer(text: str) -> JsonPointer:
    """Raises ValueError for what is no JSON Pointer."""
    try:
        return JsonPointer(text)
    except JsonPointerException:
        raise ValueError(f'"{text[:80]}" is no JSON Pointer; it begins with / and has ~0 for ~ and ~1 for /') from None


def _place(expression: Expression, scope: Scope) -> str:
    if expression.header is not None:
        return f"header {expression.header}"
    pointer = expression.pointer or ""
    return pointer.removeprefix(_DOCUMENT) if pointer.startswith(_DOCUMENT) else scope.at + pointer


def _instant(expression: Expression, found: str, scope: Scope) -> str | Finding:
    instant = int(Decimal(found) * _MICROSECONDS[expression.read_as]) if _number(found) else INSTANT_MAX + 1
    if not INSTANT_MIN <= instant <= INSTANT_MAX:
        return Finding(_place(expression, scope), f"is {shown(found)}; expected {expression.read_as} since 1970")
    return instant_text(instant)
