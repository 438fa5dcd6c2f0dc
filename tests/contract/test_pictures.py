"""`milepost contract graph`: the pictures are golden files, and their parts are what the contract says."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from milepost.cli import app
from milepost.contract import parse
from milepost.contract.picture import draw

HERE = Path(__file__).parent
WHOLE = HERE / "right" / "erp_rollout.yaml"


def graph(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["contract", "graph", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("form", ["text", "mermaid", "svg"])
def test_picture(form: str, golden: Callable[[Path, str], None]) -> None:
    status, out, err = graph(WHOLE, "--format", form)
    assert (status, err) == (0, "")
    golden(HERE / "pictures" / f"erp_rollout.{form}", out)


def test_every_milestone_is_a_box_and_every_dependency_an_arrow_to_the_right() -> None:
    contract = parse(WHOLE.read_text(encoding="utf-8")).contract
    assert contract is not None
    picture = draw(contract)
    layers = {box.key: box.layer for box in picture.boxes}
    assert {milestone.id for milestone in contract.milestones} < layers.keys()
    assert picture.arrows
    assert all(layers[arrow.source] < layers[arrow.target] for arrow in picture.arrows)


def test_what_is_piped_is_svg_that_a_browser_reads_with_every_title_in_it() -> None:
    status, out, _ = graph(WHOLE)
    assert status == 0
    root = ElementTree.fromstring(out)  # noqa: S314  # what this project wrote itself
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    contract = parse(WHOLE.read_text(encoding="utf-8")).contract
    assert contract is not None
    shown = " ".join(root.itertext())
    assert all(milestone.id in shown for milestone in contract.milestones)


def test_names_cannot_break_out_of_the_picture(tmp_path: Path) -> None:
    hostile = WHOLE.read_text(encoding="utf-8").replace("name: Phase 1 - assessment", "name: '</text><script>x'")
    assert "<script>" in hostile
    path = tmp_path / "hostile.yaml"
    path.write_text(hostile, encoding="utf-8")
    for form in ("mermaid", "svg"):
        status, out, _ = graph(path, "--format", form)
        assert status == 0
        assert "<script>" not in out


def test_a_contract_with_errors_has_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("milepost: 1\n", encoding="utf-8")
    status, out, err = graph(path)
    assert (status, out) == (1, "")
    assert "engagement: is missing" in err
    assert graph(tmp_path / "none.yaml")[0] == 2
