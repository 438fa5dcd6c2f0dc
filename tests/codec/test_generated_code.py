"""The generated decoders and encoders against fastavro, and against bytes that nobody should send."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.codec import records
from milepost.codec.decoders import FAULTS, decoder, decoder_source
from milepost.codec.encoders import encoder, encoder_source
from milepost.codec.registry import installed
from milepost.codec.shapes import STRUCTS, RecordShape, Shape
from milepost.codec.topics import TOPIC_OF_RECORD
from milepost.codec.wire import Undecodable
from tests.codec.strategies import RECORDS, record_values, shape_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SCHEMAS = {record: fastavro.parse_schema(json.loads(installed().current(record).text)) for record in RECORDS}
SHAPES = {record: shape_of(record) for record in RECORDS}
DECODERS = {record: decoder(SHAPES[record]) for record in RECORDS}
ENCODERS = {record: encoder(SHAPES[record]) for record in RECORDS}


def for_fastavro(shape: Shape, value: Any) -> Any:
    """A core value as fastavro writes and reads it."""
    match shape.kind:
        case "instant":
            return EPOCH + timedelta(microseconds=value)
        case "array":
            assert shape.items is not None
            return [for_fastavro(shape.items, item) for item in value]
        case "record":
            assert shape.record is not None
            return {field.name: for_fastavro(field.shape, getattr(value, field.name)) for field in shape.record.fields}
        case "union" if isinstance(value, int) and any(branch.kind == "instant" for branch in shape.branches):
            return EPOCH + timedelta(microseconds=value)
        case "union" if value is not None and shape.nullable is not None:
            return for_fastavro(shape.nullable, value)
        case _:
            return value


def written_by_fastavro(record: str, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, SCHEMAS[record], for_fastavro(Shape("record", record=SHAPES[record]), value))
    return out.getvalue()


def read_by_fastavro(record: str, body: bytes) -> Any:
    return fastavro.schemaless_reader(io.BytesIO(body), SCHEMAS[record], None)


any_record = st.one_of([st.tuples(st.just(record), record_values(SHAPES[record])) for record in RECORDS])
property_test = settings(
    max_examples=3 * settings.default.max_examples,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
)


@given(any_record)
@property_test
def test_encoders_write_the_bytes_that_fastavro_writes(pair: tuple[str, Any]) -> None:
    record, value = pair
    assert ENCODERS[record](value) == written_by_fastavro(record, value)


@given(any_record)
@property_test
def test_decoders_read_what_fastavro_wrote_and_fastavro_reads_what_encoders_wrote(pair: tuple[str, Any]) -> None:
    record, value = pair
    assert DECODERS[record](written_by_fastavro(record, value), 0) == value
    read = read_by_fastavro(record, ENCODERS[record](value))
    assert read == for_fastavro(Shape("record", record=SHAPES[record]), value)


@given(any_record, st.binary(max_size=7))
@property_test
def test_a_record_may_start_anywhere_but_must_end_at_the_end(pair: tuple[str, Any], before: bytes) -> None:
    record, value = pair
    body = ENCODERS[record](value)
    assert DECODERS[record](before + body, len(before)) == value
    with pytest.raises(FAULTS):
        DECODERS[record](body + b"\0", 0)


@given(any_record, st.data())
@property_test
def test_a_truncated_record_is_refused(pair: tuple[str, Any], data: st.DataObject) -> None:
    record, value = pair
    body = ENCODERS[record](value)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(FAULTS):
        DECODERS[record](body[:cut], 0)


def refuses_or_reads(topic: str, value: bytes) -> None:
    """Whatever the bytes are: a struct of the topic's record, or `Undecodable`, never anything else."""
    try:
        found = records.read(topic, value)
    except Undecodable as error:
        refused = error.reason
    else:
        refused = None
        assert TOPIC_OF_RECORD[type(found).__name__] == topic
        # what was read is what the types say: msgspec validates every field
        msgspec.convert(msgspec.to_builtins(found, builtin_types=(date,)), type(found))
    assert refused in (None, "UNDECODABLE", "UNKNOWN_SCHEMA")


def flip(body: bytes, bit: int) -> bytes:
    changed = bytearray(body)
    changed[bit // 8 % len(body)] ^= 1 << bit % 8
    return bytes(changed)


@given(any_record, st.lists(st.integers(0, 1 << 20), min_size=1, max_size=4))
@property_test
def test_flipped_bits_are_read_or_refused(pair: tuple[str, Any], bits: list[int]) -> None:
    record, value = pair
    framed = installed().current(record).id.to_bytes(5, "big") + ENCODERS[record](value)
    for bit in bits:
        framed = flip(framed, bit)
    refuses_or_reads(TOPIC_OF_RECORD[record], framed)


@given(st.sampled_from(RECORDS), st.binary(max_size=120))
@property_test
def test_s34_random_bytes_behind_a_good_prefix_are_read_or_refused(record: str, body: bytes) -> None:
    refuses_or_reads(TOPIC_OF_RECORD[record], installed().current(record).id.to_bytes(5, "big") + body)


@given(st.sampled_from(sorted(TOPIC_OF_RECORD.values())), st.binary(max_size=60))
@property_test
def test_s34_random_bytes_are_refused_or_read(topic: str, value: bytes) -> None:
    refuses_or_reads(topic, value)


EVENT = STRUCTS["MilestoneEvent"]("e1", "s", "eng", "m", "REPORTED", 1_767_225_600_000_000)
BODY = ENCODERS["MilestoneEvent"](EVENT)
VARINT_MAX = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # the longest length that a long can state


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "ends before its last field"),
        (BODY[:-1], "ends before its last field"),
        (BODY + b"\0", "1 bytes are left over"),
        (b"\x03" + BODY[1:], "event_id has a negative length"),
        (VARINT_MAX, "ends before its last field"),
        (b"\xff" * 11 + BODY, "more than ten bytes"),
        (b"\xff" * 9 + b"\x7f" + BODY, "more than 64 bits"),
        (b"\x04\xff\xfe" + BODY[3:], "not UTF-8"),
        (BODY.replace(b"\x02m", b"\x02m\x06", 1), "of no type that the schema names"),
    ],
    ids=["empty", "cut", "too-long", "negative", "absurd", "endless-number", "huge-number", "utf-8", "branch"],
)
def test_each_kind_of_broken_bytes_is_named(body: bytes, says: str) -> None:
    with pytest.raises(Undecodable) as caught:
        records.decode("milestone-events", b"\0\0\0\0\x02" + body)
    assert caught.value.reason == "UNDECODABLE"
    assert says in caught.value.message


def test_an_unknown_enum_symbol_is_refused() -> None:
    place = BODY.index(b"\x02m") + 3  # behind milestone_id and the null occurrence: the kind
    assert BODY[place] == 0
    with pytest.raises(Undecodable, match="an enum holds a number"):
        records.decode("milestone-events", b"\0\0\0\0\x02" + BODY[:place] + b"\x0c" + BODY[place + 1 :])


def test_an_array_in_blocks_with_sizes_is_read() -> None:
    items = [("a", "t", 1, "s", "u"), ("b", "t", 2, "s", "u")]
    evidence = tuple(STRUCTS["Evidence"](*item) for item in items)
    value = msgspec.structs.replace(EVENT, evidence=evidence)
    body = ENCODERS["MilestoneEvent"](value)
    one_block = ENCODERS["MilestoneEvent"](msgspec.structs.replace(EVENT, evidence=evidence[:1]))
    item_length = len(body) - len(one_block)
    start = len(BODY) - 2  # the empty array and the empty map are the last two bytes
    item_bytes = body[start + 1 : start + 1 + 2 * item_length]
    blocks = b""
    for place in range(2):
        blocks += b"\x01" + bytes([2 * item_length]) + item_bytes[place * item_length : (place + 1) * item_length]
    assert DECODERS["MilestoneEvent"](BODY[:start] + blocks + b"\0\0", 0) == value


@pytest.mark.parametrize("days", [-719_163, 2_932_897, (1 << 31) - 1])
def test_a_date_outside_the_calendar_is_refused(days: int) -> None:
    event = STRUCTS["KpiEvent"](
        "e", "s", "eng", "k", "1", 0, period_start=date(1970, 1, 1), period_end=date(1970, 1, 1)
    )
    zigzag = days << 1 if days >= 0 else ~(days << 1)
    encoded = bytearray()
    while zigzag > 127:
        encoded.append(zigzag & 127 | 128)
        zigzag >>= 7
    encoded.append(zigzag)
    body = ENCODERS["KpiEvent"](event).replace(b"\x04\x00\x04\x00", b"\x04" + bytes(encoded) + b"\x04\x00", 1)
    with pytest.raises(Undecodable):
        records.decode("kpi-events", b"\0\0\0\0\x03" + body)


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31) - 1])
def test_an_int_of_more_than_32_bits_is_not_written(value: int) -> None:
    request = STRUCTS["ApprovalDecision"]("e", "s", "eng", "m", "r", "a", "APPROVED", 0, submission=value)
    with pytest.raises(OverflowError):
        records.encode_event(request)


def test_a_symbol_that_the_schema_lacks_is_not_written() -> None:
    with pytest.raises(KeyError):
        records.encode_event(msgspec.structs.replace(EVENT, kind="INVENTED"))


def test_the_generated_source_can_be_looked_at() -> None:
    shape: RecordShape = SHAPES["ClockTick"]
    source, names = decoder_source(shape)
    assert "def decode(b, i):" in source
    assert "_ClockTick" in names
    assert "def encode(value):" in encoder_source(shape)[0]
