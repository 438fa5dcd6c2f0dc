"""Dead letters: the record untouched, why, where from, and never larger than the topic takes."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from milepost.codec.wire import Record, header
from milepost.join.dead_letters import ADDED_LIMIT_BYTES, RECORD_LIMIT_BYTES, dead_letter, dead_letter_id

RECORD = Record("kpi-events", 3, 42, 1_767_225_600_123, b"erp", b"\xff\x00junk", (("trace", b"1"), ("trace", b"2")))


def added(record: Record, reason: str = "UNDECODABLE", message: str = "why") -> dict[str, bytes]:
    return dict(dead_letter(record, reason, message).headers[len(record.headers) :])


def test_key_value_and_headers_stay_as_they_were() -> None:
    letter = dead_letter(RECORD, "UNDECODABLE", "why")
    assert letter.topic == "dead-letters"
    assert (letter.key, letter.value) == (RECORD.key, RECORD.value)
    assert tuple(letter.headers[:2]) == RECORD.headers


def test_null_key_and_null_value_stay_null() -> None:
    letter = dead_letter(RECORD._replace(key=None, value=None, headers=()), "UNDECODABLE", "why")
    assert (letter.key, letter.value) == (None, None)


def test_headers_say_what_where_and_why() -> None:
    assert added(RECORD, "KEY_MISMATCH", "the key\nis another") == {
        "__connect.errors.topic": b"kpi-events",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"42",
        "__connect.errors.stage": b"KEY_CONVERTER",
        "__connect.errors.exception.class.name": b"milepost.KEY_MISMATCH",
        "__connect.errors.exception.message": b"the key is another",
        "x-original-topic": b"kpi-events",
        "milepost-error-code": b"KEY_MISMATCH",
        "milepost-dead-letter-id": hashlib.sha256(b"kpi-events/3/42").hexdigest().encode(),
        "milepost-first-seen": b"2026-01-01T00:00:00.123000Z",
        "milepost-attempts": b"1",
    }
    assert dead_letter_id("kpi-events", 3, 42) == hashlib.sha256(b"kpi-events/3/42").hexdigest()


def test_a_dead_letter_of_a_replay_counts_on_and_keeps_where_it_began() -> None:
    replayed = RECORD._replace(
        offset=99,
        headers=(
            ("milepost-attempts", b"2"),
            ("milepost-first-seen", b"2025-01-01T00:00:00.000000Z"),
            ("milepost-replay-of", b"abc"),
        ),
    )
    letter = dead_letter(replayed, "INVALID_VALUE", "still")
    assert header(letter.headers, "milepost-attempts") == b"3"
    assert header(letter.headers, "milepost-first-seen") == b"2025-01-01T00:00:00.000000Z"
    assert header(letter.headers, "milepost-replay-of") == b"abc"


def test_nonsense_in_earlier_headers_counts_as_nothing() -> None:
    for nonsense in (b"", b"-1", b"9" * 100, b"\xff", b"1.5"):
        record = RECORD._replace(headers=(("milepost-attempts", nonsense), ("milepost-first-seen", b"x" * 65)))
        assert added(record)["milepost-attempts"] == b"1"
        assert added(record)["milepost-first-seen"] == b"2026-01-01T00:00:00.123000Z"


def test_a_timestamp_that_no_calendar_has_is_given_as_it_is() -> None:
    assert added(RECORD._replace(timestamp=1 << 62))["milepost-first-seen"] == str(1 << 62).encode()


def test_a_value_that_does_not_fit_is_named_by_its_hash() -> None:
    value = b"x" * (RECORD_LIMIT_BYTES + 1)
    letter = dead_letter(RECORD._replace(value=value), "UNDECODABLE", "why")
    assert letter.value is None
    assert letter.key == RECORD.key
    assert header(letter.headers, "milepost-value-sha256") == hashlib.sha256(value).hexdigest().encode()
    assert header(letter.headers, "milepost-value-size-bytes") == str(len(value)).encode()
    assert tuple(letter.headers[:2]) == RECORD.headers


def test_headers_and_keys_that_do_not_fit_are_named_too() -> None:
    big = b"y" * (RECORD_LIMIT_BYTES + 1)
    letter = dead_letter(RECORD._replace(key=big, headers=(("h", big),)), "UNDECODABLE", "why")
    assert letter.key is None
    assert header(letter.headers, "h") is None
    assert header(letter.headers, "milepost-key-sha256") == hashlib.sha256(big).hexdigest().encode()
    assert header(letter.headers, "milepost-headers-size-bytes") == str(len(big) + 1).encode()


@given(
    key=st.one_of(st.none(), st.binary(max_size=20)),
    value=st.one_of(st.none(), st.binary(max_size=50)),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=10)), max_size=4),
    message=st.text(max_size=40).map(lambda text: text * 300),
    timestamp=st.integers(-(1 << 63), (1 << 63) - 1),
)
def test_what_is_added_stays_below_four_kibibytes(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]], message: str, timestamp: int
) -> None:
    record = Record("clock-ticks", 0, 1, timestamp, key, value, tuple(headers))
    letter = dead_letter(record, "AMENDMENT_INVALID", message)
    assert (letter.key, letter.value, letter.headers[: len(headers)]) == (key, value, headers)
    extra = letter.headers[len(headers) :]
    assert sum(len(name) + len(content) for name, content in extra) <= ADDED_LIMIT_BYTES
    for _, content in extra:
        assert "\n" not in content.decode()
