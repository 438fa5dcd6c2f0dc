"""Avro encoders written for one schema each: straight-line Python, generated from the schema and compiled at start.

`encoder(shape, prefix)` answers `encode(value) -> bytes`: the prefix and the record, joined once. Small numbers,
lengths and repeated instants come from tables. The bytes equal fastavro's; the tests hold the two together.
"""

from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any

from milepost.codec.shapes import RecordShape, Shape

__all__ = ["Encode", "encoder", "encoder_source"]

Encode = Callable[[Any], bytes]

_EPOCH_DAY = date(1970, 1, 1).toordinal()
# Numbers below this, either way, are kept once computed: lengths, counts, revisions, small amounts.
_TABLE_LIMIT = 1 << 16


def encoder(shape: RecordShape, prefix: bytes = b"") -> Encode:
    """The compiled encoder of a record. It raises LookupError, TypeError, AttributeError, OverflowError or
    UnicodeError for a value that the schema does not admit; the core never makes one."""
    source, names = encoder_source(shape, prefix)
    exec(compile(source, f"<encoder of {shape.name}>", "exec"), names)  # noqa: S102 (our own schemas, our own source)
    encode: Encode = names["encode"]
    return encode


def encoder_source(shape: RecordShape, prefix: bytes = b"") -> tuple[str, dict[str, Any]]:
    """The encoder's source, for a look at it, and the names it uses."""
    writer = _Writer()
    writer.function("encode", Shape("record", record=shape), prefix)
    return "\n".join(writer.lines) + "\n", writer.names


def _varint(value: int) -> bytes:
    """An unsigned number of at most 64 bits."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _long(value: int) -> bytes:
    """A signed number, zigzag. Raises OverflowError beyond 64 bits."""
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError(f"{value} has more than 64 bits")
    return _varint(value << 1 if value >= 0 else ~(value << 1))


class _Longs(dict[int, bytes]):
    """Signed numbers by value; small ones are kept as they come."""

    bits = 64

    def __missing__(self, value: int) -> bytes:
        if not -(1 << self.bits - 1) <= value < 1 << self.bits - 1:
            raise OverflowError(f"{value} has more than {self.bits} bits")
        encoded = _long(value)
        if -_TABLE_LIMIT < value < _TABLE_LIMIT:
            self[value] = encoded
        return encoded


class _Ints(_Longs):
    """The same for an Avro int."""

    bits = 32


class _Optional(dict[int, bytes]):
    """Lengths behind the branch of a union with null: byte 2 and the number."""

    def __missing__(self, value: int) -> bytes:
        encoded = b"\x02" + _long(value)
        if value < _TABLE_LIMIT:
            self[value] = encoded
        return encoded


@lru_cache(maxsize=4096)
def _instant(value: int) -> bytes:
    """Microseconds. One event's instants come back in its line, status and audit entries, hence the cache."""
    zigzag = value << 1 if value >= 0 else ~(value << 1)
    if not 1 << 49 <= zigzag < 1 << 56:  # not eight bytes: before 1979 or after 2112
        return _long(value)
    low, high = zigzag & 0xFFFFFFF, zigzag >> 28
    return bytes(
        (
            low & 127 | 128,
            low >> 7 & 127 | 128,
            low >> 14 & 127 | 128,
            low >> 21 | 128,
            high & 127 | 128,
            high >> 7 & 127 | 128,
            high >> 14 & 127 | 128,
            high >> 21,
        )
    )


@lru_cache(maxsize=4096)
def _day(day: date) -> bytes:
    return _long(day.toordinal() - _EPOCH_DAY)


_NAMES: dict[str, Any] = {
    "_lengths": _Longs(),
    "_optional": _Optional(),
    "_longs": _Longs(),
    "_ints": _Ints(),
    "_instant": _instant,
    "_day": _day,
}


class _Writer:
    """Collects the lines of one encoder. Each value adds expressions to the one tuple that is joined at the end."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = dict(_NAMES)
        self._body: list[str] = []
        self._parts: list[str] = []
        self._count = 0

    def function(self, name: str, shape: Shape, prefix: bytes = b"", argument: str = "value") -> None:
        """`name(value)` for one value of any shape."""
        body, parts = self._body, self._parts
        self._body, self._parts = [], [repr(prefix)] if prefix else []
        self._write(shape, argument, 1)
        joined = self._parts[0] if len(self._parts) == 1 else f'b"".join(({", ".join(self._parts)},))'
        self.lines += [f"def {name}({argument}):", *self._body, f"    return {joined}"]
        self._body, self._parts = body, parts

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def _line(self, depth: int, text: str) -> None:
        self._body.append("    " * depth + text)

    def _write(self, shape: Shape, source: str, depth: int) -> None:
        """Lines that prepare the value of the expression `source`, and the parts of the tuple that it becomes."""
        match shape.kind:
            case "record":
                assert shape.record is not None
                for field in shape.record.fields:
                    self._write(field.shape, f"{source}.{field.name}", depth)
            case "string":
                text = self._name("t")
                self._line(depth, f"{text} = {source}.encode()")
                self._parts += [f"_lengths[len({text})]", text]
            case "union":
                self._union(shape, source, depth)
            case _:
                self._parts.append(self._expression(shape, source))

    def _expression(self, shape: Shape, source: str) -> str:
        """One expression for the bytes of one value."""
        match shape.kind:
            case "int" | "long":
                return f"_{shape.kind}s[{source}]"
            case "instant":
                return f"_instant({source})"
            case "date":
                return f"_day({source})"
            case "enum":
                symbols = self._name("_symbols_")
                self.names[symbols] = {symbol: _long(place) for place, symbol in enumerate(shape.symbols)}
                return f"{symbols}[{source}]"
            case "array" | "map":
                return f'{self._collection(shape)}({source}) if {source} else b"\\0"'
            case _:
                name = self._name("_write_")
                self.function(name, shape)
                return f"{name}({source})"

    def _union(self, shape: Shape, source: str, depth: int) -> None:
        value = self._name("v")
        self._line(depth, f"{value} = {source}")
        other = shape.nullable
        if other is not None and other.kind == "string":
            head = self._name("h")
            for indent, line in (
                (0, f"if {value} is None:"),
                (1, f'{head} = b"\\0"'),
                (1, f'{value} = b""'),
                (0, "else:"),
                (1, f"{value} = {value}.encode()"),
                (1, f"{head} = _optional[len({value})]"),
            ):
                self._line(depth + indent, line)
            self._parts += [head, value]
            return
        choice = ""
        for place, branch in reversed(list(enumerate(shape.branches))):
            encoded = (
                repr(_long(place))
                if branch.kind == "null"
                else f"{_long(place)!r} + ({self._expression(branch, value)})"
            )
            test = _TESTS.get(branch.kind)
            if choice and test is None:
                raise AssertionError(f"a union's branch {branch.kind} cannot be told from the others")
            choice = f"{encoded} if {test.format(value)} else {choice}" if choice and test else encoded
        self._parts.append(choice)

    def _collection(self, shape: Shape) -> str:
        """A function for a non-empty array or map: one block."""
        items = self._name("_items_")
        if shape.kind == "map":
            entry = [
                "    out = [_longs[len(items)]]",
                "    for key, item in items.items():",
                "        k = key.encode()",
                "        t = item.encode()",
                "        out += (_lengths[len(k)], k, _lengths[len(t)], t)",
            ]
        else:
            assert shape.items is not None
            one = self._name("_item_")
            self.function(one, shape.items)
            entry = ["    out = [_longs[len(items)]]", f"    out += map({one}, items)"]
        self.lines += [f"def {items}(items):", *entry, '    out.append(b"\\0")', '    return b"".join(out)']
        return items


# How the branches of a union are told apart; the last branch needs no test.
_TESTS = {"null": "{0} is None", "instant": "type({0}) is int"}
