"""Events and outputs as JSON, for files, HTTP and the command line: the field names of events.md, dates and instants as
ISO 8601.

Reading is strict and says everything that is wrong with a value at once: fields that the record does not have, with the
nearest name that it has; missing fields; wrong types, and numbers where a decimal string belongs with the quoted form;
instants without an offset. Fields with a default may be left out. `contract` may be the document itself instead of its
JSON text. Ranges and formats of values are `core.checks`' business, not looked at here.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any, cast

import msgspec

from milepost.codec.registry import installed
from milepost.codec.shapes import STRUCTS, Field, RecordShape, Shape, Value, record_shape
from milepost.codec.topics import TOPICS
from milepost.codec.wire import Undecodable
from milepost.core import events, outputs
from milepost.core.calendar import instant_text

__all__ = [
    "event_from_json",
    "event_or_problems",
    "event_to_json",
    "output_from_json",
    "output_to_json",
    "parse_instant",
    "shown",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,6})?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT_EXAMPLE = 'an ISO 8601 instant with its offset, such as "2026-03-31T16:00:00Z"'
_DATE_EXAMPLE = 'an ISO 8601 date, such as "2026-03-31"'
_encode_document = msgspec.json.Encoder(decimal_format="number").encode
_BITS = {"int": 31, "long": 63}
# The plain one first: it is what nearly always comes, and an abstract class takes its time to answer.
_OBJECTS = (dict, Mapping)


def event_from_json(topic: str, value: object) -> events.Event | events.InvoiceAcknowledgement:
    """The event in a JSON value of an input topic. Raises `Undecodable` with reason INVALID_VALUE and a message that
    names every field that is wrong; KeyError for a topic that carries no record."""
    return cast("events.Event | events.InvoiceAcknowledgement", _from_json(TOPICS[topic].record, value))


def event_or_problems(
    topic: str, value: object
) -> tuple[events.Event | events.InvoiceAcknowledgement | None, list[str]]:
    """The event in a JSON value of an input topic, or None and everything that is wrong with it, one "path: found;
    expected" each. KeyError for a topic that carries no record."""
    problems: list[str] = []
    found = _record(_shape(TOPICS[topic].record), value, "", problems)
    return (None, problems) if problems else (found, [])


def output_from_json(topic: str, value: object) -> outputs.Output:
    """The output in a JSON value of an output topic. Raises `Undecodable` as `event_from_json` does."""
    return cast("outputs.Output", _from_json(TOPICS[topic].record, value))


def event_to_json(event: events.Event | events.InvoiceAcknowledgement) -> dict[str, Any]:
    """The event's JSON form, all fields present; `terms` is not one."""
    return cast("dict[str, Any]", _to_json(event))


def output_to_json(output: outputs.Output) -> dict[str, Any]:
    """The output's JSON form, all fields present. A dead letter's is `{"reason", "message"}`."""
    return cast("dict[str, Any]", _to_json(output))


def parse_instant(text: str) -> int:
    """Microseconds since 1970 of an ISO 8601 instant. Raises ValueError without an offset, for more than six digits of
    a second, and for what is no instant."""
    if _INSTANT.fullmatch(text) is None:
        raise ValueError(f"expected {_INSTANT_EXAMPLE}")
    return (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(microseconds=1)


@cache
def _shape(record: str) -> RecordShape:
    return record_shape(installed().current(record).definition)


def _from_json(record: str, value: object) -> Value:
    if not record:
        raise KeyError("the topic carries no record with a schema")
    problems: list[str] = []
    found = _record(_shape(record), value, "", problems)
    if problems:
        raise Undecodable("INVALID_VALUE", "; ".join(problems))
    return cast("Value", found)


def _record(shape: RecordShape, value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, _OBJECTS):
        problems.append(f"{path or shape.name}: {shown(value)}; expected an object with the fields of {shape.name}")
        return None
    prefix = f"{path}." if path else ""
    readers = _readers_of(shape.name, shape)
    if not value.keys() <= readers.keys():
        problems += [
            f"{prefix}{_on_one_line(str(name))}: no field of {shape.name}; {_nearest(str(name), readers)}"
            for name in value
            if name not in readers
        ]
    arguments: dict[str, Any] = {}
    for name, (field, read) in readers.items():
        if name in value:
            arguments[name] = read(value[name], prefix + name, problems)
        elif field.required:
            problems.append(f"{prefix}{name}: missing; {shape.name} needs it, expected {_expected(field.shape)}")
        else:
            arguments[name] = _default(field)
    return None if problems else STRUCTS[shape.name](**arguments)


def _default(field: Field) -> Any:
    return () if field.default == [] else dict(field.default) if field.default == {} else field.default


def _on_one_line(name: str) -> str:
    """A name that came from outside, fit for one line."""
    short = name if len(name) <= 64 else f"{name[:64]}..."
    return short if short.isprintable() else ascii(short)[1:-1]


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name[:64], known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"expected {_or(tuple(known))}"


Read = Callable[[Any, str, list[str]], Any]
"""Reads a value at a path; appends to the problems, and its result then counts for nothing."""

_plans: dict[str, dict[str, tuple[Field, Read]]] = {}


def _readers_of(record: str, shape: RecordShape) -> dict[str, tuple[Field, Read]]:
    """Each field of a record with its reader, put together when the record is first read."""
    found = _plans.get(record)
    if found is None:
        found = _plans[record] = {field.name: (field, _reader(field.shape)) for field in shape.fields}
    return found


def _reader(shape: Shape) -> Read:
    if shape.kind in _PLAIN:
        return _PLAIN[shape.kind]
    if shape.kind in _SHAPED:
        return partial(_SHAPED[shape.kind], shape)
    if shape.nullable is None:
        return _day_or_instant
    inner = _reader(shape.nullable)

    def nullable(value: Any, path: str, problems: list[str]) -> Any:
        return None if value is None else inner(value, path, problems)

    return nullable


def _string(value: object, path: str, problems: list[str]) -> Any:
    if type(value) is str and value.isascii():  # as nearly always
        return value
    if path == "contract" and isinstance(value, Mapping):
        return _document(value, path, problems)
    if not isinstance(value, str):
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        hint = f'; write it in quotes: "{value}"' if is_number and shown(value).startswith("the number") else ""
        problems.append(f"{path}: {shown(value)}; expected a string{hint}")
        return None
    if any("\ud800" <= character <= "\udfff" for character in value):
        problems.append(f"{path}: {shown(value)} holds half of a surrogate pair; expected Unicode text")
        return None
    return value


def _document(value: Mapping[Any, Any], path: str, problems: list[str]) -> str | None:
    """A contract given as an object, as the JSON text that travels; its numbers stay numbers, for lint to refuse."""
    try:
        return _encode_document(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        problems.append(f"{path}: {type(error).__name__}; expected a contract document, or its JSON text")
        return None


def _number(shape: Shape, value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, int) or isinstance(value, bool):
        problems.append(f"{path}: {shown(value)}; expected a whole number")
        return None
    if not -(1 << _BITS[shape.kind]) <= value < 1 << _BITS[shape.kind]:
        problems.append(f"{path}: {shown(value)} does not fit; expected a number of {_BITS[shape.kind] + 1} bits")
        return None
    return value


def _enum(shape: Shape, value: object, path: str, problems: list[str]) -> Any:
    if value not in shape.symbols:
        near = difflib.get_close_matches(str(value)[:64].upper(), shape.symbols, n=1) if isinstance(value, str) else []
        hint = f" (did you mean {near[0]}?)" if near else ""
        problems.append(f"{path}: {shown(value)}; expected {_or(shape.symbols)}{hint}")
        return None
    return value


def _instant(value: object, path: str, problems: list[str]) -> Any:
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except (ValueError, OverflowError):
        problems.append(f"{path}: {shown(value)}; expected {_INSTANT_EXAMPLE}")
        return None


def _date(value: object, path: str, problems: list[str]) -> Any:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass  # the 30th of February: reported like everything else that is no date
    problems.append(f"{path}: {shown(value)}; expected {_DATE_EXAMPLE}")
    return None


def _day_or_instant(value: object, path: str, problems: list[str]) -> Any:
    if value is None:
        return None
    if isinstance(value, str) and _DATE.fullmatch(value):
        return _date(value, path, problems)
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except (ValueError, OverflowError):
        problems.append(f"{path}: {shown(value)}; expected {_DATE_EXAMPLE}, or {_INSTANT_EXAMPLE}, or null")
        return None


def _array(shape: Shape, value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, list | tuple):
        problems.append(f"{path}: {shown(value)}; expected a list")
        return None
    assert shape.items is not None
    read = _reader(shape.items)
    return tuple(read(item, f"{path}[{place}]", problems) for place, item in enumerate(value))


def _map(value: object, path: str, problems: list[str]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(f"{path}: {shown(value)}; expected an object of strings")
        return None
    return {
        _string(name, f"{path} (a name)", problems): _string(item, f"{path}.{_on_one_line(str(name))}", problems)
        for name, item in value.items()
    }


def _nested(shape: Shape, value: object, path: str, problems: list[str]) -> Any:
    assert shape.record is not None
    return _record(shape.record, value, path, problems)


_PLAIN: dict[str, Read] = {"string": _string, "instant": _instant, "date": _date, "map": _map}
_SHAPED: dict[str, Callable[[Shape, Any, str, list[str]], Any]] = {
    "int": _number,
    "long": _number,
    "enum": _enum,
    "array": _array,
    "record": _nested,
}

_EXPECTED = {
    "string": "a string",
    "int": "a whole number",
    "long": "a whole number",
    "instant": _INSTANT_EXAMPLE,
    "date": _DATE_EXAMPLE,
    "array": "a list",
    "map": "an object of strings",
    "record": "an object",
}


def _expected(shape: Shape) -> str:
    if shape.kind == "enum":
        return _or(shape.symbols)
    if shape.kind == "union":
        return " or ".join(_expected(branch) if branch.kind != "null" else "null" for branch in shape.branches)
    return _EXPECTED[shape.kind]


def _or(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def shown(value: object) -> str:
    """What was found, for a message: short and on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            text = f'"{ascii(value)[1:-1]}"'
            return text if len(text) <= 80 else f'{text[:60]}..." ({len(value)} characters)'
        case int() if value.bit_length() > 200:
            return "a very large number"
        case int() | float() | Decimal():
            return f"the number {value}" if len(str(value)) <= 80 else "a number of very many digits"
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def _to_json(value: Any) -> Any:
    """Any record of the core, or a dead letter."""
    record = type(value).__name__
    if record == "DeadLetter":
        return {"reason": value.reason, "message": value.message}
    return _record_to_json(_shape(record), value)


def _record_to_json(shape: RecordShape, value: Any) -> dict[str, Any]:
    return {field.name: _plain(field.shape, getattr(value, field.name)) for field in shape.fields}


def _plain(shape: Shape, value: Any) -> Any:
    match shape.kind:
        case "string" | "int" | "long" | "enum":
            return value
        case "instant":
            return _instant_text(value)
        case "date":
            return value.isoformat()
        case "array":
            assert shape.items is not None
            return [_plain(shape.items, item) for item in value]
        case "map":
            return dict(value)
        case "record":
            assert shape.record is not None
            return _record_to_json(shape.record, value)
    if value is None:
        return None
    if shape.nullable is not None:
        return _plain(shape.nullable, value)
    return value.isoformat() if isinstance(value, date) else _instant_text(value)


def _instant_text(value: int) -> Any:
    """ISO 8601; the number itself where no calendar has that year, so that a dead letter can still be shown."""
    try:
        return instant_text(value)
    except (OverflowError, ValueError):
        return value
