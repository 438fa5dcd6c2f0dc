"""Laws of reading: YAML and JSON say the same, the wire loses nothing, and nothing that is sent raises."""

import io
import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from milepost import contract
from milepost.contract import json_text
from milepost.contract.tree import MAX_DIGITS, Broken, Real, Value
from tests.contract.documents import good_documents, json_values, spoiled_documents

# Reading YAML takes tens of milliseconds a document.
few = settings(max_examples=40)


def as_yaml(document: Any) -> str:
    writer = YAML(typ="safe", pure=True)
    writer.allow_unicode = True
    # In flow style it writes plain texts, such as ?0, that its own scanner does not read.
    writer.default_flow_style = False
    # The order of rates is part of a contract.
    writer.sort_base_mapping_type_on_output = False
    stream = io.StringIO()
    # A round trip, so that nothing is shared and written as an anchor.
    writer.dump(json.loads(json.dumps(document)), stream)
    return stream.getvalue()


def said(parsed: contract.Parsed) -> list[tuple[str, ...]]:
    return sorted((finding.severity, finding.path, finding.message, finding.fix) for finding in parsed.findings)


@few
@given(good_documents())
def test_a_good_document_is_the_same_contract_in_every_spelling(document: dict[str, Any]) -> None:
    wide, compact = json.dumps(document, indent=2), json.dumps(document)
    in_yaml = as_yaml(document)
    expected = contract.parse(compact)
    assert expected.errors == ()
    assert expected.contract is not None
    wire = contract.to_wire(in_yaml)
    assert wire == contract.to_wire(wide) == contract.to_wire(compact) == contract.to_wire(wire)
    for text in (wide, in_yaml, wire):
        parsed = contract.parse(text)
        assert parsed.contract == expected.contract
        assert said(parsed) == said(expected)
        # Bytes of a state follow from the order of names too.
        assert repr(parsed.contract) == repr(expected.contract)


@given(spoiled_documents())
def test_a_spoiled_document_is_refused_for_the_same_reasons_in_every_spelling(document: dict[str, Any]) -> None:
    compact = contract.parse(json.dumps(document))
    assert (compact.contract is None) == bool(compact.errors)
    assert all(finding.fix and finding.message for finding in compact.findings)
    assert said(contract.parse(json.dumps(document, indent=1))) == said(compact)


@given(st.text(max_size=200))
@example("{" * 40)
@example("a: " + "[" * 5000)
@example('{"a":' * 5000)
@example("- " * 3000)
@example("? " * 3000)
@example('a: "\\UFFFFFFFF"')
@example("a: !<tag:%zz> 1")
@example("%YAML 9999999999.1\n---\na: 1")
@example("%TAG ! tag:x,2000:\n---\na: !b 1")
@example("&a [*a]")
@example("*a")
@example("a: |99\n b")
@example("a: 1_000\nb: 12:30:45\nc: 0b1\nd: 1e999999999\ne: -.inf\nf: .NaN")
@example('{"version": 1e999999999, "milepost": ' + "9" * 5000 + "}")
@example('{"a\\ud800": "\\udc00"}')
@example("\x00")
@example("\ud800")
@example("{\ud800}")
@example('{"a": "\x7f"}')
@example("\ufeff\ufeff{}")
@example("<<: {a: 1}")
@example("--- >\n--- |\n...\n...")
def test_no_text_raises(text: str) -> None:
    for parsed in (contract.parse(text), contract.parse_wire(text)):
        assert parsed.contract is None
        assert parsed.errors
        assert all(finding.text("x").encode() for finding in parsed.findings)
    try:
        wire = contract.to_wire(text)
    except contract.NotJsonError:
        return
    assert contract.to_wire(wire) == wire


@few
@given(st.data())
def test_no_damage_to_a_text_raises(data: st.DataObject) -> None:
    text = as_yaml(data.draw(good_documents()))
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 8)))
    damaged = text[:start] + data.draw(st.text("{}[]:,-?&*!|>'\"%@`# \n\tab01\\", max_size=5)) + text[stop:]
    parsed = contract.parse(damaged)
    assert (parsed.contract is None) == bool(parsed.errors)


@few
@given(json_values)
def test_no_value_raises_wherever_it_stands(value: Any) -> None:
    for text in (json.dumps(value), as_yaml(value), json.dumps({"milestones": [value], "people": value})):
        assert contract.parse(text).contract is None


def plain(value: Value) -> Any:
    assert not isinstance(value, Broken)
    if isinstance(value, Real):
        return ("number", value.text)
    if isinstance(value, int) and not isinstance(value, bool):
        # One keeps long numbers as written, the other as a number; no key of the language takes either.
        return ("number", str(int(value))) if len(str(int(value))) > MAX_DIGITS else int(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


@given(json_values, st.booleans())
def test_the_quick_and_the_careful_reader_of_json_agree(value: Any, sort: bool) -> None:
    text = json.dumps({"a": value}, sort_keys=sort, separators=(",", ":") if sort else None, ensure_ascii=not sort)
    try:
        quick = json_text.quick(text)
    except UnicodeEncodeError:
        quick = None
    careful = json_text.read_json(text)
    assert careful.readable
    if quick is not None:
        assert careful.findings == []
        assert plain(quick) == plain(careful.value)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=4))
def test_a_key_that_stands_twice_is_always_noticed(pairs: list[tuple[str, int]]) -> None:
    text = "{" + ",".join(f'"{key}":{value}' for key, value in pairs) + "}"
    repeated = len({key for key, _ in pairs}) < len(pairs)
    messages = [finding.message for finding in contract.parse(text).findings]
    assert any("stands twice" in message for message in messages) == repeated
