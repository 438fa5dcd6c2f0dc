"""Bytes that a release wrote are read by every later one: kept here for every version of every record."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.codec import records
from milepost.codec.registry import installed
from milepost.codec.topics import TOPIC_OF_RECORD, TOPICS
from milepost.codec.wire import PREFIX_LENGTH, SCHEMA_GUID_HEADER

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
EXAMPLES = sorted((HERE.parents[1] / "schemas/examples").glob("*/*.json"))
KEPT = sorted(GOLDEN.glob("*/*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_written_now_is_kept(path: Path, golden: Callable[[Path, str], None]) -> None:
    record = path.parent.name
    topic, version = TOPIC_OF_RECORD[record], installed().current(record).version
    stated = json.loads(path.read_text(encoding="utf-8"))
    if TOPICS[topic].direction == "in":
        event = records.event_from_json(topic, stated)
        value, answered = records.encode_event(event), records.event_to_json(event)
    else:
        output = records.output_from_json(topic, stated)
        value, answered = records.encode(output), records.output_to_json(output)
    kept = {"bytes": value.hex(), "value": answered}
    golden(GOLDEN / f"{record}-{version}" / path.name, json.dumps(kept, ensure_ascii=False, indent=1) + "\n")


def test_every_released_version_is_kept() -> None:
    released = {f"{schema.record}-{schema.version}" for schema in installed().all() if schema.version}
    assert {path.parent.name for path in KEPT} == released


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_kept_bytes_are_read_in_both_framings(path: Path) -> None:
    record, _, version = path.parent.name.rpartition("-")
    kept = json.loads(path.read_text(encoding="utf-8"))
    value, topic = bytes.fromhex(kept["bytes"]), TOPIC_OF_RECORD[record]
    schema = next(one for one in installed().all() if (one.record, str(one.version)) == (record, version))
    header = (SCHEMA_GUID_HEADER, b"\x01" + schema.guid.bytes)
    for read in (records.read(topic, value), records.read(topic, value[PREFIX_LENGTH:], [header])):
        to_json = records.event_to_json if TOPICS[topic].direction == "in" else records.output_to_json
        answered = to_json(read)  # type: ignore[arg-type]
        assert {name: answered[name] for name in kept["value"]} == kept["value"]
