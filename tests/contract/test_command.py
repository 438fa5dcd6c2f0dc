"""`milepost contract lint|show` as a user runs it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from milepost.cli import app

HERE = Path(__file__).parent
WRONG = HERE / "wrong"
GOOD = """\
milepost: 1
engagement: harbour-wall
version: 3
customer: {id: port, name: Port Authority}
currency: EUR
value: "90000.00"
timezone: Europe/Lisbon
effective_from: 2026-03-01
people: {engineer: [ines], client: [{id: sofia, from: 2026-03-01}]}
sides: {supplier: [engineer], customer: [client]}
approvals: {both: {steps: [{role: engineer}, {role: client}]}}
retention: {rate: "5", cap: {amount: "3000.00"}, release: [{when: signoff}]}
milestones:
  - {id: survey, criteria: Charted., fee: {fixed: "15000.00"}, requires: [completed], approval: both}
  - id: piles
    fee: {percent_of_value: "60"}
    partial: ["50", "100"]
    depends_on: [survey]
    requires: [completed, {kpi: {id: depth, at_least: "12.5"}}]
    approval: both
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["contract", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_lint_prints_what_the_golden_files_say_and_exits_with_1() -> None:
    path = WRONG / "fee_number.yaml"
    status, out, err = run("lint", path)
    assert status == 1
    expected = (WRONG / "fee_number.txt").read_text(encoding="utf-8")
    assert out == expected.replace("fee_number.yaml:", f"{path}:")
    assert err == "1 contract: 1 error, 0 warnings\n"


def test_warnings_do_not_fail(good: Path) -> None:
    status, out, err = run("lint", good)
    assert status == 0
    assert out.startswith(f"{good}:1: warning: amendments: ")
    assert err == "1 contract: 0 errors, 1 warning\n"


def test_an_unreadable_file_is_2_and_the_others_are_linted_all_the_same(tmp_path: Path, good: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"milepost: \xff")
    missing = tmp_path / "missing.yaml"
    status, out, _ = run("lint", missing, binary, WRONG / "syntax_tab.yaml", good)
    assert status == 2
    assert f"{missing}: error: cannot be read: No such file or directory" in out
    assert f"{binary}: error: is no UTF-8: byte 10 is 0xff" in out
    assert "syntax_tab.yaml:11: error: is no YAML" in out
    assert f"{good}:1: warning" in out


def test_lint_as_json(good: Path) -> None:
    status, out, _ = run("lint", "--json", good, WRONG / "fee_number.yaml")
    assert status == 1
    fine, wrong = json.loads(out)["files"]
    assert (fine["file"], fine["readable"], fine["accepted"]) == (str(good), True, True)
    assert [finding["severity"] for finding in fine["findings"]] == ["warning"]
    assert wrong["accepted"] is False
    (finding,) = wrong["findings"]
    assert finding["path"] == "milestones[0].fee.fixed"
    assert finding["line"] == 23
    assert '"15000.00"' in finding["fix"]


def test_show_is_readable(good: Path) -> None:
    status, out, _ = run("show", good)
    assert status == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for expected in (
        "harbour-wall, version 3",
        "customer Port Authority (port)",
        "value 90000.00 EUR",
        "client customer sofia from 2026-03-01",
        "both parallel yes 1 of engineer and 1 of client",
        "piles piles 60 % of the value 50 % 100 % both",
        "piles completed; kpi depth >= 12.5 survey accepted",
        "survey Charted.",
        "cap 3000.00 EUR",
        "release r1 100 % at the sign-off",
    ):
        assert expected in lines


def test_show_as_json_is_the_resolved_contract(good: Path) -> None:
    status, out, _ = run("show", "--json", good)
    assert status == 0
    shown = json.loads(out)
    assert shown["value_minor"] == 9_000_000
    both = shown["policies"]["both"]
    assert [(step["role"], step["quorum"]) for step in both["steps"]] == [("engineer", 1), ("client", 1)]
    assert (both["sequential"], both["distinct"]) == (False, True)
    assert shown["milestones"][1]["fee"] == {"type": "percent", "percent": "60"}
    assert shown["milestones"][1]["requires"][1]["type"] == "kpi"
    assert shown["effective_from"] == "2026-03-01"


@pytest.mark.parametrize(("name", "expected"), [("fee_number", 1), ("syntax_tab", 2)])
def test_show_of_a_wrong_contract_says_what_is_wrong(name: str, expected: int) -> None:
    status, out, err = run("show", WRONG / f"{name}.yaml")
    assert (status, out) == (expected, "")
    assert f"{name}.yaml:" in err
