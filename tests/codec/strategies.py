"""Any value that a schema admits, as the core has it."""

from datetime import date
from typing import Any

from hypothesis import strategies as st

from milepost.codec.registry import installed
from milepost.codec.shapes import STRUCTS, RecordShape, Shape, record_shape

__all__ = ["RECORDS", "record_values", "shape_of"]

RECORDS = sorted({schema.record for schema in installed().all()})

# Years that a datetime of fastavro can hold; the generated code has no such limit.
_INSTANTS = st.one_of(
    st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    st.integers(1_700_000_000_000_000, 1_900_000_000_000_000),
    st.sampled_from([0, -1, 1, (1 << 48) - 1, 1 << 48, (1 << 55) - 1, -(1 << 55), 281_474_976_710_656]),
)
_LONGS = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-200, 200))
_INTS = st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(-200, 200))
# Lengths around one and two bytes of a varint: 63/64 and 8191/8192 characters.
_TEXTS = st.one_of(
    st.text(max_size=4), st.sampled_from(["", "a-b.c", "x" * 63, "x" * 64, "y" * 8191, "y" * 8192, "ä€𝄞"])
)


def shape_of(record: str) -> RecordShape:
    """The current shape of a record."""
    return record_shape(installed().current(record).definition)


def record_values(shape: RecordShape) -> st.SearchStrategy[Any]:
    """Structs of the core that the record's schema admits."""
    return st.builds(STRUCTS[shape.name], **{field.name: _values(field.shape) for field in shape.fields})


def _values(shape: Shape) -> st.SearchStrategy[Any]:
    match shape.kind:
        case "null":
            return st.none()
        case "string":
            return _TEXTS
        case "int":
            return _INTS
        case "long":
            return _LONGS
        case "instant":
            return _INSTANTS
        case "date":
            return st.dates(min_value=date(1, 1, 1))
        case "enum":
            return st.sampled_from(shape.symbols)
        case "map":
            return st.dictionaries(_TEXTS, _TEXTS, max_size=3)
        case "array":
            assert shape.items is not None
            return st.lists(_values(shape.items), max_size=3).map(tuple)
        case "record":
            assert shape.record is not None
            return record_values(shape.record)
        case _:
            return st.one_of([_values(branch) for branch in shape.branches])
