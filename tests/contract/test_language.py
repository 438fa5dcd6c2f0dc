"""Every key of the language is supported, or refused as not supported yet; none is unknown and none is ignored."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost import contract
from milepost.contract import keys, yaml_text

TEXT = (Path(__file__).parent / "whole_language.yaml").read_text(encoding="utf-8")
NOT_YET = [
    "amendment",
    "approvals.strict.steps[0].evidence",
    "approvals.strict.steps[0].within",
    "approvals.strict.steps[0].remind_every",
    "approvals.strict.steps[0].on_timeout",
    "approvals.strict.steps[1].within",
    "approvals.strict.steps[1].grace",
    "approvals.strict.steps[1].on_timeout",
    "approvals.strict.steps[1].amount_at_least",
    "amendments.approval",
    "signoff.approval",
    "retention.step_down",
    "retention.release[1].when",
    "retention.release[2].when",
    "retention.release[3].when",
    "milestones[2].repeats",
    "milestones[2].requires[0].any_of",
    "milestones[3].repeats",
    "milestones[3].requires[0].regulator",
    "milestones[4].repeats",
    "milestones[4].fee.rate_card",
    "milestones[5].fee.success",
    "milestones[5].clawback",
    "time_and_materials",
    "rate_cards",
]


def test_what_is_not_built_yet_is_refused_by_its_path_and_nothing_else_is_said() -> None:
    errors = contract.parse(TEXT).errors
    assert [finding.message for finding in errors] == [f"not supported yet: {path}" for path in NOT_YET]
    assert [finding.path for finding in errors] == NOT_YET


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
    known = {key for shape in shapes for key in shape.supported | shape.later}
    shown = {key for mapping in mappings(yaml_text.read_yaml(TEXT).value) for key in mapping}
    # `amount` stands where a cap has no percentage, `all_of` inside what is refused.
    assert known - shown == {"amount"}


@pytest.mark.parametrize("line", ["amendments: {approval: none}", "signoff: {approval: none}", "calendar: DE-BY"])
def test_the_defaults_may_be_written_out(line: str) -> None:
    text = (Path(__file__).parent / "wrong" / "fee_number.yaml").read_text(encoding="utf-8")
    text = text.replace("15000.00", '"15000.00"').replace("amendments: {approval: none}\n", "")
    assert contract.parse(f"{text}{line}\n").findings == ()
