"""The JSON form of a record (`json_forms`) as JSON Schema 2020-12, for those who describe an interface.

It says what `json_forms` reads and what `core.checks` then asks of single values; a value that fits is accepted.
"""

from collections.abc import Collection
from functools import cache
from typing import Any

from milepost.codec.registry import installed
from milepost.codec.shapes import Field, Shape, record_shape
from milepost.core.checks import MAX_ID_LENGTH

__all__ = ["record_schema"]

Json = dict[str, Any]

# At most six digits of a second: microseconds are what a record holds.
_INSTANT: Json = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,6})?)?"
    r"([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$",
    "examples": ["2026-03-31T16:00:00Z"],
}
_DATE: Json = {"type": "string", "format": "date", "examples": ["2026-03-31"]}
_ID: Json = {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH}
_DECIMAL: Json = {"type": "string", "pattern": r"^[+-]?[0-9]{1,30}(\.[0-9]{1,9})?$", "examples": ["99.8981"]}
_PERCENTAGE: Json = {"type": "string", "pattern": r"^(100(\.0{1,9})?|[0-9]{1,2}(\.[0-9]{1,9})?)$", "examples": ["60"]}

# What `core.checks` asks of a field, by its name; the rest follows from the type alone.
_BY_NAME: dict[str, Json] = {
    "engagement_id": {"type": "string", "pattern": r"^[A-Za-z0-9._:-]{1,128}$"},
    "sha256": {"type": "string", "pattern": r"^[0-9a-fA-F]{64}$"},
    "value": _DECIMAL,
    "quantity": _DECIMAL,
    "completion": _PERCENTAGE,
    "certified_completion": _PERCENTAGE,
    **dict.fromkeys(
        (
            "event_id", "source", "milestone_id", "occurrence_id", "reported_by", "actor", "kpi_id", "unit",
            "filing_id", "regulator", "confirmation_id", "role", "approver", "usage_id", "meter", "worker",
            "timesheet_id", "dispute_id", "line_id", "document_number", "name",
        ),
        _ID,
    ),
}  # fmt: skip
_BITS = {"int": 31, "long": 63}


@cache
def _docs(record: str) -> dict[str, str]:
    """The sentence of each field, by "field" and, for nested records, "Record.field"."""
    found: dict[str, str] = {}

    def look(definition: Any, prefix: str = "") -> None:
        if isinstance(definition, list):
            for branch in definition:
                look(branch)
        elif isinstance(definition, dict) and definition.get("type") == "record":
            name = "" if definition["name"] == record else f"{definition['name']}."
            for field in definition["fields"]:
                found[name + field["name"]] = field.get("doc", "")
                look(field["type"], prefix)
        elif isinstance(definition, dict):
            look(definition.get("items", definition.get("type")))

    look(installed().current(record).definition)
    return found


def record_schema(record: str, *, without: Collection[str] = (), optional: Collection[str] = ()) -> Json:
    """The schema of a record's JSON form, a doc on each field; `without` leaves fields out, `optional` need not be
    given although the record has no default for them."""
    definition = installed().current(record).definition
    fields = [field for field in record_shape(definition).fields if field.name not in without]
    return {"title": record, "description": definition.get("doc", ""), **_object(record, "", fields, optional)}


def _object(record: str, prefix: str, fields: Collection[Field], optional: Collection[str] = ()) -> Json:
    docs = _docs(record)
    return {
        "type": "object",
        "properties": {
            field.name: {**_field(record, field), "description": docs.get(prefix + field.name, "")} for field in fields
        },
        "required": [field.name for field in fields if field.required and field.name not in optional],
        "additionalProperties": False,
    }


def _field(record: str, field: Field) -> Json:
    found = _value(record, field.shape, _BY_NAME.get(field.name))
    return found if field.required or field.default is None else {**found, "default": field.default}


def _value(record: str, shape: Shape, named: Json | None = None) -> Json:
    match shape.kind:
        case "null":
            return {"type": "null"}
        case "string":
            return dict(named) if named is not None else {"type": "string"}
        case "int" | "long":
            return {"type": "integer", "minimum": -(1 << _BITS[shape.kind]), "maximum": (1 << _BITS[shape.kind]) - 1}
        case "instant":
            return dict(_INSTANT)
        case "date":
            return dict(_DATE)
        case "enum":
            return {"type": "string", "enum": list(shape.symbols)}
        case "map":
            return {"type": "object", "additionalProperties": {"type": "string"}}
        case "array":
            assert shape.items is not None
            return {"type": "array", "items": _value(record, shape.items)}
        case "record":
            assert shape.record is not None
            return _object(record, f"{shape.record.name}.", shape.record.fields)
    return {"anyOf": [_value(record, branch, named) for branch in shape.branches]}
