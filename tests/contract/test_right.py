"""Documents that anybody may sign: no error is found in them, and they say the same as JSON."""

from pathlib import Path

import pytest

from milepost import contract

HERE = Path(__file__).parent
FILES = sorted([*(HERE / "right").glob("*.yaml"), *(HERE.parents[1] / "examples").glob("*/contract.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_error_is_found(path: Path) -> None:
    parsed = contract.parse(path.read_text(encoding="utf-8"), source=path.name)
    assert [finding.text(path.name) for finding in parsed.errors] == []
    assert parsed.contract is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_it_is_the_same_contract_on_the_wire(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    wire = contract.to_wire(text)
    # `repr` too: the order of names is part of a state's bytes.
    assert repr(contract.parse_wire(wire).contract) == repr(contract.parse(text).contract)
    assert contract.to_wire(wire) == wire


def test_there_are_documents() -> None:
    assert len(FILES) >= 5
