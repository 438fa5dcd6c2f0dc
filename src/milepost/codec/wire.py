"""Records as Kafka carries them, and the Confluent framing of their values.

Read: magic 0, schema id (4 bytes, big-endian), Avro body; or the newer form, in which the header `__value_schema_id`
holds magic 1 and the 16 bytes of a schema GUID and the value is the bare body. Written: always the first.
"""

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple
from uuid import UUID

__all__ = ["PREFIX_LENGTH", "SCHEMA_GUID_HEADER", "Outgoing", "Record", "Undecodable", "frame", "header", "unframe"]

SCHEMA_GUID_HEADER = "__value_schema_id"
PREFIX_LENGTH = 5

_prefix = Struct(">BI")


class Record(NamedTuple):
    """A record that was read. `topic` is the name in events.md, without a prefix; `timestamp` is in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Outgoing(NamedTuple):
    """A record to be written, to the partition number of the records it came from. `headers` may be appended to."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Undecodable(Exception):  # noqa: N818 (a state of the record, in the words of events.md)
    """A value that cannot become an event: `reason` is a dead letter's reason, `message` says what was found."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def frame(schema_id: int) -> bytes:
    """The five bytes before an Avro body. Raises struct.error for an id that is no unsigned 32-bit number."""
    return _prefix.pack(0, schema_id)


def header(headers: Iterable[tuple[str, bytes]], name: str) -> bytes | None:
    """The last header of that name, as Kafka's own clients answer; None if there is none."""
    found = None
    for key, value in headers:
        if key == name:
            found = value
    return found


def unframe(value: bytes, headers: Iterable[tuple[str, bytes]] = ()) -> tuple[int | UUID, int]:
    """The schema's id or GUID, and where the Avro body starts. Raises `Undecodable`."""
    stated = header(headers, SCHEMA_GUID_HEADER)
    if stated is not None:
        if len(stated) == 17 and stated[0] == 1:
            return UUID(bytes=bytes(stated[1:])), 0
        if len(stated) == PREFIX_LENGTH and stated[0] == 0:
            return int.from_bytes(stated[1:], "big"), 0
        raise Undecodable(
            "UNDECODABLE",
            f"header {SCHEMA_GUID_HEADER} holds {len(stated)} bytes; expected magic byte 1 and a 16-byte schema GUID",
        )
    if len(value) < PREFIX_LENGTH:
        raise Undecodable(
            "UNDECODABLE",
            f"the value has {len(value)} bytes; expected magic byte 0, a 4-byte schema id and an Avro body",
        )
    magic, schema_id = _prefix.unpack_from(value)
    if magic != 0:
        raise Undecodable(
            "UNDECODABLE",
            f"the value starts with byte {magic}; expected magic byte 0 of the Confluent wire format "
            "(is it JSON, or Avro without its schema id?)",
        )
    return schema_id, PREFIX_LENGTH
