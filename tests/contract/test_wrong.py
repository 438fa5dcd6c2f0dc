"""Every way to get a contract wrong that we know: a file with one mistake, and beside it what is said about it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from milepost import contract

WRONG = Path(__file__).parent / "wrong"
FILES = sorted(path for path in WRONG.iterdir() if path.suffix in {".yaml", ".json"})
ONLY_WARNED = {
    "amendment_of_nothing",
    "amendments_unsigned",
    "clawback_unnamed_kpi",
    "fee_percentages_do_not_add_up",
    "fee_success_cap_below_floor",
    "fee_success_sources_apart",
    "gate_group_impossible",
    "gate_kpi_impossible",
    "gate_kpi_period_shorter_than_a_month",
    "gate_nested_impossible",
    "gates_contradict",
    "partial_without_completed",
    "policy_grace_without_acceptance",
    "rate_card_prices_nothing",
    "repeats_by_different_things",
    "repeats_monthly_without_kpi",
    "repeats_per_filing_without_regulator",
    "repeats_without_sources",
    "retention_never_released",
    "sides_one_alone",
    "sides_one_alone_below_an_amount",
    "sides_one_alone_by_escalation",
    "sides_one_alone_by_silence",
    "waits_for_what_never_bills",
}
UNREADABLE = {
    "json_nan",
    "json_trailing_comma",
    "syntax_empty",
    "syntax_indentation",
    "syntax_only_a_comment",
    "syntax_tab",
    "syntax_too_deep",
    "syntax_unclosed_bracket",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_findings_are_these(path: Path, golden: Callable[[Path, str], None]) -> None:
    parsed = contract.parse(path.read_text(encoding="utf-8"), source=path.name)
    golden(path.with_suffix(".txt"), "".join(f"{finding.text(path.name)}\n" for finding in parsed.findings))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_errors_refuse_the_contract_and_warnings_do_not(path: Path) -> None:
    parsed = contract.parse(path.read_text(encoding="utf-8"))
    assert parsed.findings
    assert bool(parsed.errors) == (path.stem not in ONLY_WARNED)
    assert (parsed.contract is None) == bool(parsed.errors)
    assert parsed.readable == (path.stem not in UNREADABLE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_finding_says_where_and_what_to_do(path: Path) -> None:
    for finding in contract.parse(path.read_text(encoding="utf-8")).findings:
        assert finding.message
        assert finding.fix
        assert finding.line is not None or path.stem in {"syntax_empty", "syntax_only_a_comment", "json_nan"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_json_is_refused_for_the_same_reasons_as_yaml(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    try:
        wire = contract.to_wire(text)
    except contract.NotJsonError:
        assert path.stem.startswith(("syntax", "json"))
        return

    def said(parsed: contract.Parsed) -> list[tuple[str, str, str, str]]:
        return sorted((one.severity, one.path, one.message, one.fix) for one in parsed.findings)

    assert said(contract.parse(wire)) == said(contract.parse(text))


def test_no_expectation_is_left_over() -> None:
    assert len(FILES) >= 100
    assert {path.stem for path in WRONG.glob("*.txt")} == {path.stem for path in FILES}
