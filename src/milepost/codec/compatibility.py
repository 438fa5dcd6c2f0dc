"""Whether what one Avro schema wrote can be read with another, as the specification's "Schema Resolution" says.

Stricter in one thing: an enum may not grow although Avro lets a reader with a default read it, because no enum of ours
has one and an unknown word must never become a known one.
"""

from collections.abc import Iterator
from typing import Any

__all__ = ["unreadable"]

# What a reader may take a writer's type for.
_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
_NAMED = ("record", "enum", "fixed")


def unreadable(writer: Any, reader: Any) -> list[str]:
    """Why a reader with schema `reader` cannot read what `writer` wrote, one a reason; empty: it can."""
    return list(_compare(writer, reader, "", {}, {}))


def _compare(writer: Any, reader: Any, path: str, written: dict[str, Any], read: dict[str, Any]) -> Iterator[str]:
    writer, reader = _named(writer, written), _named(reader, read)
    if isinstance(writer, list):
        for branch in writer:
            yield from _compare(branch, reader, path, written, read)
        return
    if isinstance(reader, list):
        reasons = [list(_compare(writer, branch, path, written, read)) for branch in reader]
        if all(reasons):
            yield f"{path or '.'}: {_kind(writer)} is none of {', '.join(_kind(_named(b, read)) for b in reader)}"
        return
    kind = _kind(writer)
    if kind != _kind(reader):
        if _kind(reader) not in _PROMOTIONS.get(kind, ()):
            yield f"{path or '.'}: {kind} was written, {_kind(reader)} is read"
        return
    if kind in _NAMED and writer["name"].rpartition(".")[2] != reader["name"].rpartition(".")[2]:
        yield f"{path or '.'}: {writer['name']} was written, {reader['name']} is read"
    elif _logical(writer) != _logical(reader):
        yield f"{path or '.'}: {_logical(writer)} was written, {_logical(reader)} is read"
    elif kind == "record":
        yield from _fields(writer, reader, path, written, read)
    elif kind == "enum":
        unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
        if unknown:
            yield f"{path}: {', '.join(unknown)} cannot be read"
    elif kind in ("array", "map"):
        inner = "items" if kind == "array" else "values"
        yield from _compare(writer[inner], reader[inner], f"{path}[]", written, read)
    elif kind == "fixed" and writer["size"] != reader["size"]:
        yield f"{path}: {writer['size']} bytes were written, {reader['size']} are read"


def _fields(writer: Any, reader: Any, path: str, written: dict[str, Any], read: dict[str, Any]) -> Iterator[str]:
    there = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        name = f"{path}.{field['name']}"
        known = next((there[n] for n in (field["name"], *field.get("aliases", ())) if n in there), None)
        if known is not None:
            yield from _compare(known["type"], field["type"], name, written, read)
        elif "default" not in field:
            yield f"{name}: was not written, and has no default"


def _named(schema: Any, known: dict[str, Any]) -> Any:
    """The schema behind a name; names are known from where they were defined."""
    if isinstance(schema, str):
        return known.get(schema.rpartition(".")[2], schema)
    if isinstance(schema, dict) and schema.get("type") in _NAMED:
        known[schema["name"].rpartition(".")[2]] = schema
    return schema


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    found: Any = schema["type"] if isinstance(schema, dict) else schema
    return found if isinstance(found, str) else _kind(found)


def _logical(schema: Any) -> str:
    found = schema.get("logicalType") if isinstance(schema, dict) else None
    return str(found or _kind(schema))
