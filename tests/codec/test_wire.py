"""The framing of values, and values written with another version of a schema."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry.common.serde import SchemaId  # the real client's idea of both framings

from milepost.codec import records
from milepost.codec.registry import Registry, installed, schemas_dir
from milepost.codec.wire import SCHEMA_GUID_HEADER, Undecodable, frame, header, unframe
from milepost.core.events import ClockTick, KpiEvent

TICK = ClockTick(1_767_225_600_000_000)
READING = KpiEvent("e", "s", "eng", "k", "1", 1_767_225_600_000_000)


def test_a_prefix_is_magic_zero_and_a_big_endian_id() -> None:
    assert frame(258) == b"\0\0\0\x01\x02"
    assert unframe(b"\0\0\0\x01\x02body") == (258, 5)


def test_values_are_written_with_the_prefix_that_confluents_client_reads() -> None:
    value = records.encode_event(TICK)
    stated = SchemaId("AVRO")
    body = stated.from_bytes(io.BytesIO(value))
    assert stated.id == installed().current("ClockTick").id
    assert body.read() == value[5:]


def test_a_guid_in_a_header_is_read_as_confluents_client_writes_it() -> None:
    schema = installed().current("ClockTick")
    stated = SchemaId("AVRO", guid=str(schema.guid)).guid_to_bytes()
    assert records.decode("clock-ticks", records.encode_event(TICK)[5:], ((SCHEMA_GUID_HEADER, stated),)) == TICK


def test_an_id_in_a_header_is_read() -> None:
    body = records.encode_event(TICK)[5:]
    assert records.decode("clock-ticks", body, ((SCHEMA_GUID_HEADER, frame(9)),)) == TICK


def test_guids_follow_from_the_schema_and_differ() -> None:
    guids = [schema.guid for schema in installed().all()]
    assert len(set(guids)) == len(guids)
    assert guids == [schema.guid for schema in Registry(schemas_dir()).all()]
    assert all(installed().by_guid(schema.guid) is schema for schema in installed().all())


@pytest.mark.parametrize(
    ("value", "headers", "reason", "says"),
    [
        (b"", (), "UNDECODABLE", "has 0 bytes"),
        (b"\0\0\0\0", (), "UNDECODABLE", "has 4 bytes"),
        (b'{"at": 1}', (), "UNDECODABLE", "starts with byte 123"),
        (b"\x01\0\0\0\x09\0", (), "UNDECODABLE", "starts with byte 1"),
        (b"\0\0\0\x03\xe7\0", (), "UNKNOWN_SCHEMA", "schema id 999"),
        (b"\0\0\0\0\x03\0", (), "UNDECODABLE", "is a KpiEvent"),
        (b"\x02", ((SCHEMA_GUID_HEADER, b"\x01" + b"g" * 16),), "UNKNOWN_SCHEMA", "schema GUID"),
        (b"\x02", ((SCHEMA_GUID_HEADER, b"\x01short"),), "UNDECODABLE", "holds 6 bytes"),
    ],
)
def test_broken_framing_is_named(value: bytes, headers: Any, reason: str, says: str) -> None:
    with pytest.raises(Undecodable) as caught:
        records.decode("clock-ticks", value, headers)
    assert caught.value.reason == reason
    assert says in caught.value.message


def test_the_last_header_of_a_name_counts() -> None:
    assert header((("a", b"1"), ("b", b"2"), ("a", b"3")), "a") == b"3"
    assert header((), "a") is None


# ----------------------------------------------------------------------------------------------- other schema versions


@pytest.fixture
def evolved(tmp_path: Path) -> Registry:
    """A registry in which KpiEvent has a second version, with one field more, which is the current one."""
    shutil.copytree(schemas_dir(), tmp_path / "schemas")
    root = tmp_path / "schemas"
    first = json.loads((root / "released" / "KpiEvent-1.avsc").read_text())
    older = {**first, "fields": [f for f in first["fields"] if f["name"] not in ("unit", "evidence", "revision")]}
    (root / "released" / "KpiEvent-1.avsc").write_text(json.dumps(older))
    (root / "released" / "KpiEvent-2.avsc").write_text(json.dumps(first))
    ids = (root / "ids.toml").read_text()
    (root / "ids.toml").write_text(ids + '15 = "KpiEvent-2.avsc"\n')
    return Registry(root)


def written(registry: Registry, number: int, **fields: Any) -> bytes:
    schema = registry.by_id(number)
    assert schema is not None
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema.definition), fields)
    return frame(number) + out.getvalue()


def older_value(registry: Registry) -> bytes:
    return written(
        registry, 3, event_id="e", source="s", engagement_id="eng", kpi_id="k", value="1",
        observed_at=1_767_225_600_000_000, status="FINAL", period_start=None, period_end=None,
    )  # fmt: skip


def test_a_value_of_an_older_version_is_read_with_the_defaults_of_the_current_one(evolved: Registry) -> None:
    assert evolved.current("KpiEvent").id == 15
    assert records.Reader("KpiEvent", evolved)(older_value(evolved)) == READING


def test_broken_bytes_of_an_older_version_are_refused(evolved: Registry) -> None:
    value = older_value(evolved)
    reader = records.Reader("KpiEvent", evolved)
    for cut in range(5, len(value)):
        with pytest.raises(Undecodable) as caught:
            reader(value[:cut])
        assert caught.value.reason == "UNDECODABLE"
    with pytest.raises(Undecodable, match="left over"):
        reader(value + b"\0")


def test_any_change_of_an_older_versions_bytes_is_read_or_refused(evolved: Registry) -> None:
    value = older_value(evolved)
    reader = records.Reader("KpiEvent", evolved)
    reasons = set()
    for place in range(5, len(value)):
        for bit in range(8):
            changed = bytearray(value)
            changed[place] ^= 1 << bit
            try:
                assert isinstance(reader(bytes(changed)), KpiEvent)
            except Undecodable as error:
                reasons.add(error.reason)
    assert reasons == {"UNDECODABLE"}
