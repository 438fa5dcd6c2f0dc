"""Events and outputs as bytes: the one way in and out of Avro; their JSON forms are re-exported from `json_forms`.

Reading goes through a decoder generated for the current schema of the topic's record; a value written with another
version goes through fastavro, resolved to the current one. Whatever the bytes are, reading them either succeeds or
raises `Undecodable`. Writing always uses the current schema.
"""

import io
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, cast
from uuid import UUID

import fastavro
from fastavro.read import SchemaResolutionError

from milepost.codec.decoders import FAULTS, Decode, decoder
from milepost.codec.encoders import Encode, encoder
from milepost.codec.json_forms import event_from_json, event_to_json, output_from_json, output_to_json
from milepost.codec.registry import Registry, Schema, installed
from milepost.codec.shapes import STRUCTS, RecordShape, Shape, Value, record_shape
from milepost.codec.topics import TOPIC_OF_RECORD, TOPICS
from milepost.codec.wire import PREFIX_LENGTH, Undecodable, frame, unframe
from milepost.core import events, outputs

__all__ = [
    "Reader",
    "Undecodable",
    "Value",
    "adopt",
    "decode",
    "decode_output",
    "encode",
    "encode_event",
    "engagement_of",
    "event_from_json",
    "event_to_json",
    "key_of",
    "output_from_json",
    "output_to_json",
    "read",
    "topic_of",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# What fastavro raises for bytes that are no record of the schema.
_FASTAVRO_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    SchemaResolutionError,
    TypeError,
    ValueError,
    struct.error,
)


class Reader:
    """Reads the values of one record's topic with the schemas of one registry."""

    def __init__(self, record: str, registry: Registry) -> None:
        self.record = record
        self._registry = registry
        self._current = registry.current(record)
        self._shape = record_shape(self._current.definition)
        self._prefix = frame(self._current.id)
        self._decode: Decode = decoder(self._shape)

    def __call__(self, value: bytes, headers: Iterable[tuple[str, bytes]] = ()) -> Any:
        """The core's struct. Raises `Undecodable`.

        The prefix is looked at before the headers, which saves a search in every record: a bare body that happens to
        start with it would have an empty event id, source and engagement id.
        """
        if value[:PREFIX_LENGTH] == self._prefix:
            try:  # what `_body` does, without the call: this runs for every record
                return self._decode(value, PREFIX_LENGTH)
            except FAULTS as error:
                raise self._undecodable(error) from error
        key, start = unframe(value, headers)
        schema = self._registry.by_guid(key) if isinstance(key, UUID) else self._registry.by_id(key)
        if schema is None:
            what = "GUID" if isinstance(key, UUID) else "id"
            raise Undecodable(
                "UNKNOWN_SCHEMA", f"schema {what} {key} is in no registry; expected one of {self._known()}"
            )
        if schema.record != self.record:
            raise Undecodable(
                "UNDECODABLE",
                f"the value is a {schema.record} (schema id {schema.id}); this topic carries {self.record}",
            )
        if schema.version == self._current.version:  # of a version that is no file it is 0
            return self._body(value, start)
        return self._resolve(schema, value, start)

    def _body(self, value: bytes, start: int) -> Any:
        try:
            return self._decode(value, start)
        except FAULTS as error:
            raise self._undecodable(error) from error

    def _undecodable(self, error: BaseException) -> Undecodable:
        return Undecodable("UNDECODABLE", f"the value is no {self.record}: {_explain(error)}")

    def _resolve(self, writer: Schema, value: bytes, start: int) -> Any:
        """A value of another version, through fastavro."""
        body = io.BytesIO(value[start:])
        try:
            found = fastavro.schemaless_reader(body, _parsed(writer.text), _parsed(self._current.text))
            if body.tell() != len(value) - start:
                raise ValueError(f"{len(value) - start - body.tell()} bytes are left over")
            return _struct(self._shape, cast("Mapping[str, Any]", found))
        except _FASTAVRO_FAULTS as error:
            raise Undecodable(
                "UNDECODABLE", f"the value is no {self.record} of version {writer.version}: {_explain(error)}"
            ) from error

    def _known(self) -> str:
        return ", ".join(str(schema.id) for schema in self._registry.all() if schema.record == self.record)


def _explain(error: BaseException) -> str:
    match error:
        case UnicodeDecodeError():
            return "a string is not UTF-8"
        case KeyError():
            return "an enum holds a number that its schema does not name"
        case IndexError() | EOFError():
            return "the value ends before its last field"
        case OverflowError():
            return "a date is outside the years 1 to 9999"
        case _:
            return str(error) or type(error).__name__


@cache
def _parsed(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


def _struct(shape: RecordShape, found: Mapping[str, Any]) -> Any:
    """The core's struct of what fastavro read."""
    return STRUCTS[shape.name](**{field.name: _plain(field.shape, found[field.name]) for field in shape.fields})


def _plain(shape: Shape, value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    if isinstance(value, list):
        assert shape.items is not None
        return tuple(_plain(shape.items, item) for item in value)
    if isinstance(value, dict):
        inner = shape.nullable or shape
        return _struct(inner.record, value) if inner.record is not None else value
    assert value is None or isinstance(value, str | int | date)
    return value


class _Readers(dict[str, Reader]):
    """A reader by topic, made when its first record comes."""

    def __missing__(self, topic: str) -> Reader:
        reader = self[topic] = Reader(TOPICS[topic].record, installed())
        return reader


class _Encoders(dict[type, Encode]):
    """An encoder by the core's type, made when its first value comes."""

    def __missing__(self, kind: type) -> Encode:
        schema = installed().current(kind.__name__)
        encode_one = self[kind] = encoder(record_shape(schema.definition), frame(schema.id))
        return encode_one


_readers = _Readers()
_encoders = _Encoders()


def adopt(ids: Mapping[tuple[str, int], int]) -> None:
    """Read and write with the ids that a registry service has for our schemas, by (record, version).

    Before anything else is read or written: what a process wrote under other ids stays as it is.
    """
    installed().adopt(ids)
    _readers.clear()
    _encoders.clear()


def read(topic: str, value: bytes, headers: Iterable[tuple[str, bytes]] = ()) -> Value:
    """The event or output in a value of any topic that carries records. Raises `Undecodable`; KeyError for a topic
    that events.md does not name."""
    return cast("Value", _readers[topic](value, headers))


def decode(topic: str, value: bytes, headers: Iterable[tuple[str, bytes]] = ()) -> events.Event:
    """The event in a value of one of the eight input topics. Raises `Undecodable` (reason UNDECODABLE or
    UNKNOWN_SCHEMA); an engagement's contract is not read yet, `terms` is None."""
    return cast("events.Event", _readers[topic](value, headers))


def decode_output(topic: str, value: bytes, headers: Iterable[tuple[str, bytes]] = ()) -> outputs.Output:
    """The output in a value of an output topic (dead letters have none). Raises `Undecodable`."""
    return cast("outputs.Output", _readers[topic](value, headers))


def encode(output: outputs.Output) -> bytes:
    """An output as bytes of its topic. Dead letters are made of the record they came from (`join.dead_letters`)."""
    return _encoders[type(output)](output)


def encode_event(event: events.Event | events.InvoiceAcknowledgement) -> bytes:
    """An event as bytes of its topic; `terms` does not travel."""
    return _encoders[type(event)](event)


_TOPICS: dict[type, str] = {STRUCTS[record]: topic for record, topic in TOPIC_OF_RECORD.items()}


def topic_of(value: Value) -> str:
    """The topic that carries the record."""
    return _TOPICS[type(value)]


def engagement_of(value: Value) -> str | None:
    """The engagement a record belongs to; None for a tick."""
    return cast("str | None", getattr(value, "engagement_id", None))


def _status_key(status: outputs.MilestoneStatus) -> bytes:
    return f"{status.engagement_id}/{status.milestone_id}/{status.occurrence_id or ''}".encode()


_KEYS: dict[type, Callable[[Any], bytes | None]] = {
    outputs.MilestoneStatus: _status_key,
    events.ClockTick: lambda _: None,
}


def key_of(value: Value) -> bytes | None:
    """The record's key: the engagement's id, for a status engagement/milestone/occurrence, None for a tick."""
    special = _KEYS.get(type(value))
    return value.engagement_id.encode() if special is None else special(value)  # type: ignore[union-attr]
