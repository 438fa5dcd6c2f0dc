"""JSON that others wrote: one reading, or an error that says why."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.codec.json_values import NotJsonError, read_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
)


@given(values, st.booleans())
def test_whatever_is_json_is_read(value: object, escaped: bool) -> None:
    assert read_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


def test_numbers_keep_their_spelling() -> None:
    assert [str(number) for number in read_json(b"[99.90, 1e2, -0.0, 12345678901234567890]")] == [
        "99.90",
        "1E+2",
        "-0.0",
        "12345678901234567890",
    ]
    assert read_json(b"0.1") == Decimal("0.1")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is no JSON: Expecting value (column 1)"),
        (b'{"a": 1,\n "b": }', "is no JSON: Expecting value (line 2, column 7)"),
        (b"\xff", "is no UTF-8 at byte 0"),
        (b'{"a": 1, "a": 2}', 'the key "a" stands twice in one object, where each may stand once'),
        (b"NaN", "is no JSON: holds NaN, which is no number there"),
        (b"[-Infinity]", "is no JSON: holds -Infinity, which is no number there"),
        (b"[" * 100_000, "is nested too deep"),
        (b"9" * 1_001, "holds a number of 1001 digits, more than 1000"),
        (b'"\\ud800"', "holds half of a surrogate pair, which is no character"),
        (b'{"\\udc00": 1}', "holds half of a surrogate pair, which is no character"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_none_says_why(raw: bytes, message: str) -> None:
    with pytest.raises(NotJsonError) as caught:
        read_json(raw)
    assert str(caught.value) == message


def test_a_pair_of_escapes_is_a_character() -> None:
    assert read_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@given(st.binary(max_size=60))
def test_s34_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        value = read_json(raw)
    except NotJsonError:
        return
    assert json.loads(raw, parse_float=Decimal) == value
