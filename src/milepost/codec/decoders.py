"""Avro decoders written for one schema each: straight-line Python, generated from the schema and compiled at start.

`decoder(shape)` answers `decode(b, i) -> struct`, which reads the record that starts at `b[i]` and must end where `b`
ends. It builds the core's struct directly, without a dict in between. Its bounds need no check before every field: a
length that points past the end is cut by slicing, and then either the next field's first byte is missing (IndexError)
or the position after the last field is not the end (ValueError). Whatever bytes are read, the errors are of `FAULTS`.

fastavro reads the same bytes to the same values; the tests hold the two together.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

from milepost.codec.shapes import STRUCTS, RecordShape, Shape, struct_fields
from milepost.core import events

__all__ = ["FAULTS", "Decode", "decoder", "decoder_source"]

Decode = Callable[[bytes, int], Any]

FAULTS = (IndexError, KeyError, ValueError, OverflowError)
"""What a decoder raises: ends early, no such symbol, not UTF-8 or not a value of the schema, no such day."""

# Sums of the continuation bits of four varint bytes: subtracted once instead of masked four times.
_LOW = 128 + (128 << 7) + (128 << 14) + (128 << 21)
_HIGH = 128 + (128 << 7) + (128 << 14)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


def decoder(shape: RecordShape) -> Decode:
    """The compiled decoder of a record."""
    source, names = decoder_source(shape)
    exec(compile(source, f"<decoder of {shape.name}>", "exec"), names)  # noqa: S102 (our own schemas, our own source)
    decode: Decode = names["decode"]
    return decode


def decoder_source(shape: RecordShape) -> tuple[str, dict[str, Any]]:
    """The decoder's source, for a look at it, and the names it uses."""
    writer = _Writer()
    writer.function("decode", shape)
    return "\n".join(writer.lines) + "\n", writer.names


def _varint(b: bytes, i: int) -> tuple[int, int]:
    """The unsigned varint at b[i] and the position after it: at most ten bytes, at most 64 bits."""
    value = shift = 0
    while True:
        byte = b[i]
        i += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 63:
            raise ValueError(f"a number before byte {i} has more than ten bytes")
    if value >> 64:
        raise ValueError(f"a number before byte {i} has more than 64 bits")
    return value, i


def _length(b: bytes, i: int, where: str) -> tuple[int, int]:
    """The length at b[i], still shifted left by one, and the position after it."""
    length, i = _varint(b, i)
    if length & 1:
        raise ValueError(f"{where} has a negative length")
    return length, i


def _day(days: int) -> date:
    """Days since 1970 as a date; ValueError or OverflowError outside the years 1 to 9999."""
    return date.fromordinal(days + _EPOCH_DAY)


class _Writer:
    """Collects the lines of one decoder; arrays and maps get functions, so that the usual empty one costs a byte."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"_varint": _varint, "_length": _length, "_day": _day}
        self._body: list[str] = []

    def function(self, name: str, shape: RecordShape) -> None:
        """`name(b, i)` for a whole record."""
        body = self._swap([])
        self._line(1, "n = len(b)")
        self._record(shape, "value", 1)
        self._line(1, "if i != n:")
        self._line(2, 'raise ValueError(f"{n - i} bytes are left over" if i < n else "the value ends inside a field")')
        self._line(1, "return value")
        self.lines += [f"def {name}(b, i):", *self._swap(body)]

    def _swap(self, body: list[str]) -> list[str]:
        body, self._body = self._body, body
        return body

    def _line(self, depth: int, text: str) -> None:
        self._body.append("    " * depth + text)

    def _record(self, shape: RecordShape, target: str, depth: int) -> None:
        for field in shape.fields:
            self._read(field.shape, f"{target}_{field.name}", f"{shape.name}.{field.name}", depth)
        struct = STRUCTS[shape.name]
        self.names[f"_{shape.name}"] = struct
        # By place is faster than by name; the outputs are keyword-only.
        by_place = struct.__module__ == events.__name__
        arguments = [
            f"{target}_{name}" if by_place else f"{name}={target}_{name}" for name in struct_fields(shape.name)
        ]
        self._line(depth, f"{target} = _{shape.name}({', '.join(arguments)})")

    def _read(self, shape: Shape, target: str, where: str, depth: int) -> None:
        """Lines that read one value at b[i] into `target` and move i behind it."""
        match shape.kind:
            case "string":
                self._length(where, depth)
                self._line(depth, f"{target} = b[i:j].decode()")
                self._line(depth, "i = j")
            case "int" | "long" | "date":
                self._number(shape.kind, target, where, depth)
            case "instant":
                self._instant(target, depth)
            case "enum":
                symbols = f"_symbols_{len(self.names)}"
                self.names[symbols] = {2 * place: symbol for place, symbol in enumerate(shape.symbols)}
                self._line(depth, f"{target} = {symbols}[b[i]]")
                self._line(depth, "i += 1")
            case "record":
                assert shape.record is not None
                self._record(shape.record, target, depth)
            case "array" | "map":
                self._collection(shape, target, where, depth)
            case "union":
                self._union(shape, target, where, depth)
            case _:
                raise AssertionError(f"{where}: no decoder for {shape.kind}")

    def _length(self, where: str, depth: int) -> None:
        """Moves i behind a string's length and j behind its bytes; two-byte lengths are common (hashes, texts)."""
        for indent, text in (
            (0, "k = b[i]"),
            (0, "i += 1"),
            (0, "if k & 129:"),  # more than one byte, or negative
            (1, "if k > 127 and not k & 1 and b[i] < 128:"),
            (2, "k = k & 127 | b[i] << 7"),
            (2, "i += 1"),
            (1, "else:"),
            (2, f'k, i = _length(b, i - 1, "{where}")'),
            (0, "j = i + (k >> 1)"),
        ):
            self._line(depth + indent, text)

    def _number(self, kind: str, target: str, where: str, depth: int) -> None:
        self._line(depth, "k = b[i]")
        self._line(depth, "i += 1")
        self._line(depth, "if k > 127:")
        self._line(depth + 1, "k, i = _varint(b, i - 1)")
        if kind != "long":
            self._line(depth + 1, "if k >> 32:")
            self._line(depth + 2, f'raise ValueError("{where} has more than 32 bits")')
        value = "k >> 1 ^ -(k & 1)"
        self._line(depth, f"{target} = _day({value})" if kind == "date" else f"{target} = {value}")

    def _instant(self, target: str, depth: int) -> None:
        """Microseconds: eight bytes for every year from 1979 to 2112, taken at once; the rest through `_varint`."""
        for indent, text in (
            (0, "k = 128"),
            (0, "if i + 8 <= n:"),
            (1, "a, c, d, e, f, g, h, k = b[i:i + 8]"),
            (0, "if k < 128 <= a & c & d & e & f & g & h:"),
            (1, f"k = a + (c << 7) + (d << 14) + (e << 21) - {_LOW}"),
            (1, f"k += (f + (g << 7) + (h << 14) + (b[i + 7] << 21) - {_HIGH}) << 28"),
            (1, "i += 8"),
            (0, "else:"),
            (1, "k, i = _varint(b, i)"),
            (0, f"{target} = k >> 1 ^ -(k & 1)"),
        ):
            self._line(depth + indent, text)

    def _union(self, shape: Shape, target: str, where: str, depth: int) -> None:
        self._line(depth, "k = b[i]")
        self._line(depth, "i += 1")
        for place, branch in enumerate(shape.branches):
            self._line(depth, f"{'elif' if place else 'if'} k == {2 * place}:")
            if branch.kind == "null":
                self._line(depth + 1, f"{target} = None")
            else:
                self._read(branch, target, where, depth + 1)
        self._line(depth, "else:")
        self._line(depth + 1, f'raise ValueError("{where} is of no type that the schema names")')

    def _collection(self, shape: Shape, target: str, where: str, depth: int) -> None:
        """Blocks of items until an empty one; a negative count is followed by the block's size in bytes."""
        name = f"_read_{len(self.names)}"
        self.names[name] = None  # taken; exec defines it
        outer = self._swap([])
        self._line(1, "n = len(b)")
        self._line(1, "items = {}" if shape.kind == "map" else "items = []")
        self._line(1, "while True:")
        self._line(2, "count = b[i]")
        self._line(2, "i += 1")
        self._line(2, "if count > 127:")
        self._line(3, "count, i = _varint(b, i - 1)")
        self._line(2, "if count == 0:")
        self._line(3, "return items, i" if shape.kind == "map" else "return tuple(items), i")
        self._line(2, "if count & 1:")
        self._line(3, "_, i = _varint(b, i)")
        self._line(2, "for _ in range(count + 1 >> 1):")
        if shape.kind == "map":
            self._read(Shape("string"), "key", where, 3)
            self._read(Shape("string"), "items[key]", where, 3)
        else:
            assert shape.items is not None
            self._read(shape.items, "item", f"{where}[]", 3)
            self._line(3, "items.append(item)")
        self.lines += [f"def {name}(b, i):", *self._swap(outer)]
        self._line(depth, "if b[i]:")
        self._line(depth + 1, f"{target}, i = {name}(b, i)")
        self._line(depth, "else:")
        self._line(depth + 1, f"{target} = {{}}" if shape.kind == "map" else f"{target} = ()")
        self._line(depth + 1, "i += 1")
