"""An Avro schema as the shapes that the generated code and the JSON forms are made from.

Only what the records use: strings, ints, longs, dates, instants, enums, arrays, maps of strings, nested records, and
unions with null. Anything else is an error when the schemas are read, not when a record is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from milepost.codec.registry import RegistryError
from milepost.core import events, outputs

__all__ = ["REQUIRED", "STRUCTS", "Field", "RecordShape", "Shape", "Value", "record_shape", "struct_fields"]

STRUCTS: dict[str, type[msgspec.Struct]] = {
    name: getattr(module, name)
    for module in (events, outputs)
    for name in module.__all__
    if isinstance(getattr(module, name), type) and issubclass(getattr(module, name), msgspec.Struct)
}
"""The core's type of each record, nested ones included."""

Value = events.Event | events.InvoiceAcknowledgement | outputs.Output
"""Any record that a topic carries, as the core has it."""

_PLAIN = {"null", "string", "int", "long"}
_LOGICAL = {("int", "date"): "date", ("long", "timestamp-micros"): "instant"}
REQUIRED = object()


@dataclass(frozen=True)
class Shape:
    """`kind`: null, string, int, long, date, instant, enum, array, map, record or union."""

    kind: str
    symbols: tuple[str, ...] = ()
    items: "Shape | None" = None
    record: "RecordShape | None" = None
    branches: tuple["Shape", ...] = ()

    @cached_property
    def nullable(self) -> "Shape | None":
        """The other branch of a union of null and one type, null first; None for anything else."""
        if self.kind == "union" and len(self.branches) == 2 and self.branches[0].kind == "null":
            return self.branches[1]
        return None


@dataclass(frozen=True)
class Field:
    """One field of a record; `default` is REQUIRED where there is none, else the default as JSON has it."""

    name: str
    shape: Shape
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        """Whether JSON has to state it."""
        return self.default is REQUIRED


@dataclass(frozen=True)
class RecordShape:
    """A record's fields in the order of the wire."""

    name: str
    fields: tuple[Field, ...]


def struct_fields(record: str) -> tuple[str, ...]:
    """The names of the core type's fields, in its order; `terms` of an engagement event is not on the wire."""
    return tuple(name for name in STRUCTS[record].__struct_fields__ if (record, name) != ("EngagementEvent", "terms"))


def record_shape(definition: Mapping[str, Any]) -> RecordShape:
    """The shape of a record's schema. Raises `RegistryError` for what Milepost's records do not use."""
    fields = tuple(
        Field(entry["name"], _shape(entry["type"]), entry.get("default", REQUIRED)) for entry in definition["fields"]
    )
    return RecordShape(definition["name"], fields)


def _shape(kind: Any) -> Shape:
    if isinstance(kind, list):
        return Shape("union", branches=tuple(_shape(branch) for branch in kind))
    if isinstance(kind, str) and kind in _PLAIN:
        return Shape(kind)
    if isinstance(kind, dict):
        name = kind["type"]
        if "logicalType" in kind and (name, kind["logicalType"]) in _LOGICAL:
            return Shape(_LOGICAL[name, kind["logicalType"]])
        if name == "enum":
            return Shape("enum", symbols=tuple(kind["symbols"]))
        if name == "array":
            return Shape("array", items=_shape(kind["items"]))
        if name == "map" and kind["values"] == "string":
            return Shape("map")
        if name == "record":
            return Shape("record", record=record_shape(kind))
    raise RegistryError(f"a schema uses {kind!r}, which the codec does not know")
