"""What one version wrote another reads: the checker's verdicts, each beside what fastavro really does."""

import io
from typing import Any

import fastavro
import pytest
from fastavro.read import SchemaResolutionError

from milepost.codec.compatibility import unreadable

BASE: dict[str, Any] = {
    "type": "record",
    "name": "R",
    "fields": [
        {"name": "a", "type": "string"},
        {"name": "n", "type": "int"},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}},
    ],
}
VALUE = {"a": "x", "n": 7, "e": "Y"}


def changed(**types: Any) -> dict[str, Any]:
    """The record with fields of other types (None: left out); new ones come last."""
    known = {field["name"]: field["type"] for field in BASE["fields"]} | types
    fields = [{"name": name, "type": kind} for name, kind in known.items() if kind is not None]
    return {**BASE, "fields": fields}


def added(**field: Any) -> dict[str, Any]:
    return {**BASE, "fields": [*BASE["fields"], {"name": "new", **field}]}


READABLE = {
    "same": BASE,
    "field dropped": changed(a=None),
    "field with a default": added(type=["null", "string"], default=None),
    "promoted": changed(n="long"),
    "into a union": changed(a=["null", "string"]),
    "more symbols": changed(e={"type": "enum", "name": "E", "symbols": ["X", "Y", "Z"]}),
}
UNREADABLE = {
    "field without a default": (added(type="string"), ".new: was not written, and has no default"),
    "another type": (changed(a="long"), ".a: string was written, long is read"),
    "fewer symbols": (changed(e={"type": "enum", "name": "E", "symbols": ["X"]}), ".e: Y cannot be read"),
    "another union": (changed(a=["null", "long"]), ".a: string is none of null, long"),
    "renamed": ({**BASE, "name": "Q"}, ".: R was written, Q is read"),
}


def resolves(reader: dict[str, Any]) -> bool:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, BASE, VALUE)
    body.seek(0)
    try:
        fastavro.schemaless_reader(body, BASE, reader)
    except (SchemaResolutionError, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", READABLE)
def test_what_can_be_read_is_found_readable(name: str) -> None:
    assert unreadable(BASE, READABLE[name]) == []
    assert resolves(READABLE[name])


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_says_why(name: str) -> None:
    reader, why = UNREADABLE[name]
    assert unreadable(BASE, reader) == [why]
    assert not resolves(reader)


def test_instants_and_days_are_not_each_other() -> None:
    instant = changed(n={"type": "long", "logicalType": "timestamp-micros"})
    assert unreadable(changed(n={"type": "long", "logicalType": "timestamp-millis"}), instant) != []
    assert unreadable(instant, instant) == []
