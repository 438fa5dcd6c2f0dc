"""Every key of the language is read; none is unknown and none is ignored."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost import contract
from milepost.contract import keys, yaml_text

TEXT = (Path(__file__).parent / "right" / "whole_language.yaml").read_text(encoding="utf-8")


def test_every_part_of_the_language_is_read() -> None:
    assert contract.parse(TEXT).errors == ()


def mappings(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from mappings(item)
    elif isinstance(value, list):
        for item in value:
            yield from mappings(item)


def test_the_document_shows_every_key() -> None:
    shapes = [shape for shape in vars(keys).values() if isinstance(shape, keys.Shape)]
    assert len(shapes) >= 15
    known = {key for shape in shapes for key in shape.keys}
    shown = {key for mapping in mappings(yaml_text.read_yaml(TEXT).value) for key in mapping}
    # `amount` stands where a cap has no percentage.
    assert known - shown == {"amount"}


@pytest.mark.parametrize("line", ["amendments: {approval: none}", "signoff: {approval: none}", "calendar: DE-BY"])
def test_the_defaults_may_be_written_out(line: str) -> None:
    text = (Path(__file__).parent / "wrong" / "fee_number.yaml").read_text(encoding="utf-8")
    text = text.replace("15000.00", '"15000.00"').replace("amendments: {approval: none}\n", "")
    assert contract.parse(f"{text}{line}\n").findings == ()


@pytest.mark.parametrize(
    ("bare", "quoted"), [("15000.00", "15000.00"), ("010", "10"), ("0o17", "15"), ("5e4", "50000")]
)
def test_a_bare_number_is_suggested_as_the_decimal_that_it_is(bare: str, quoted: str) -> None:
    text = (Path(__file__).parent / "wrong" / "fee_number.yaml").read_text(encoding="utf-8").replace("15000.00", bare)
    (finding,) = [one for one in contract.parse(text).findings if one.path == "milestones[0].fee.fixed"]
    assert finding.fix == f'write "{quoted}"'


@pytest.mark.parametrize(("currency", "meant"), [("EUX", "EUR"), ("eur", "EUR"), ("USB", "USD"), ("ZZZ", "")])
def test_a_slip_is_looked_for_at_the_end_of_a_word(currency: str, meant: str) -> None:
    text = (Path(__file__).parent / "wrong" / "fee_number.yaml").read_text(encoding="utf-8")
    text = text.replace("currency: EUR", f"currency: {currency}")
    (finding,) = [one for one in contract.parse(text).findings if one.path == "currency"]
    assert (f'did you mean "{meant}"?' == finding.fix) is bool(meant)
