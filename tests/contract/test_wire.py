"""The document as JSON text: canonical, refused where JSON has no such thing, read without YAML."""

import json

import pytest

from milepost import contract


def test_wire_is_sorted_compact_and_keeps_text_as_it_is() -> None:
    assert (
        contract.to_wire("b: [1, 2.50, true, null, 'ü\"']\na: {}\nc: []\n")
        == '{"a":{},"b":[1,2.50,true,null,"ü\\""],"c":[]}'
    )


def test_wire_of_json_is_canonical_too() -> None:
    text = '{ "b" : 1 , "a" : [ ] }'
    assert contract.to_wire(text) == '{"a":[],"b":1}'
    assert json.loads(contract.to_wire(text)) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: .inf", "a: the number .inf has no JSON form"),
        ("a: 0x10p", None),
        ("a: +5", None),
        ("a: .5", 'a: the number .5 has no JSON form; write "0.5"'),
        ("a: 1\na: 2", "stands twice"),
        ("a: &x 1", "anchor"),
        ("a: !!int 1", "tag"),
        ("a: [", "is no YAML"),
        ("", "is empty"),
        ('{"a": 1', "is no JSON"),
        ('{"a": "\\ud800"}', "U+D800"),
        ('{"a": "\\u0000"}', "U+0000"),
        ('{"a":' + "[" * 900 + "]" * 900 + "}", "nested deeper than 32"),
    ],
)
def test_what_json_does_not_have_is_refused(text: str, said: str | None) -> None:
    if said is None:
        assert json.loads(contract.to_wire(text))
        return
    with pytest.raises(contract.NotJsonError, match=said.replace("+", r"\+").replace(".", r"\.")):
        contract.to_wire(text)


@pytest.mark.parametrize("text", ["milepost: 1", "", "[]", "null", '"{"'])
def test_an_event_carries_json_objects_only(text: str) -> None:
    parsed = contract.parse_wire(text)
    assert not parsed.readable
    assert parsed.contract is None
    assert "is no JSON object" in parsed.findings[0].message


def test_a_byte_order_mark_is_no_content() -> None:
    assert contract.to_wire("\ufeffa: 1") == contract.to_wire('\ufeff{"a": 1}') == '{"a":1}'
