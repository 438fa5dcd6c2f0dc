"""What a dossier holds as bytes, from the topics: the events that the audit trail names, and what the join stated."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from milepost.codec import records
from milepost.codec.wire import SCHEMA_GUID_HEADER, Record, Undecodable, header
from milepost.core.outputs import AuditEntry
from milepost.kafka.scanning import Place, Scan
from milepost.kafka.schemas import Schemas
from milepost.settings import Settings

__all__ = ["event_row", "record_rows", "sent"]

Progress = Callable[[int], None]


def sent(
    settings: Settings, audit: Iterable[AuditEntry], progress: Progress, schemas: Schemas | None = None
) -> list[Record]:
    """The records that the audit trail names, in the order in which they were folded; `schemas` is asked for what they
    name and nobody here knows. Raises `ScanError`."""
    wanted: dict[Place, dict[int, int]] = {}
    for entry in audit:
        if entry.input_topic is not None and entry.input_partition is not None and entry.input_offset is not None:
            place = Place(entry.input_topic, entry.input_partition)
            wanted.setdefault(place, {}).setdefault(entry.input_offset, entry.sequence)
    found = [
        (wanted[Place(record.topic, record.partition)][record.offset], record)
        for record in _read(settings, {place: offsets.keys() for place, offsets in wanted.items()}, progress, schemas)
    ]
    return [record for _, record in sorted(found, key=lambda one: one[0])]


def event_row(record: Record) -> dict[str, Any]:
    """An event as `events.jsonl` has it: where it is, its value, the bytes, and the header that names its schema."""
    value: Any
    try:
        value = records.event_to_json(records.read(record.topic, record.value or b"", record.headers))  # type: ignore[arg-type]
    except Undecodable as error:
        value = {"undecodable": error.message}
    named = header(record.headers, SCHEMA_GUID_HEADER)
    return {
        **_row(record),
        "timestamp_ms": record.timestamp,
        "value": value,
        "schema_header": None if named is None else named.hex(),
    }


def record_rows(
    settings: Settings, places: Mapping[str, Sequence[tuple[int, int]]], progress: Progress
) -> Iterator[dict[str, Any]]:
    """The records at the partitions and offsets of each topic, in that order. Raises `ScanError`."""
    wanted: dict[Place, set[int]] = {}
    for topic, found in places.items():
        for partition, offset in found:
            wanted.setdefault(Place(topic, partition), set()).add(offset)
    for record in _read(settings, wanted, progress):
        yield _row(record)


def _read(
    settings: Settings, wanted: Mapping[Place, Set[int]], progress: Progress, schemas: Schemas | None = None
) -> Iterator[Record]:
    if not wanted:
        return
    starts = {place: min(offsets) for place, offsets in wanted.items()}
    with Scan(settings, wanted, progress, starts, schemas=schemas) as scan:
        for place, offsets in wanted.items():
            records_of = scan.until(place, max(offsets) + 1)
            yield from (record for record in records_of if record.offset in offsets)


def _row(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "bytes": base64.b64encode(record.value or b"").decode(),
    }
