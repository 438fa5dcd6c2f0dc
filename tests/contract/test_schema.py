"""The JSON Schema for editors: current, true for every good document, and silent only where lint has to speak."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from milepost import contract
from milepost.cli import app
from milepost.codec.registry import schemas_dir
from milepost.contract.schema import schema, schema_text
from milepost.contract.schema_texts import TEXTS
from tests.contract.documents import good_documents

HERE = Path(__file__).parent
RIGHT = sorted([*(HERE / "right").glob("*.yaml"), *(HERE.parents[1] / "examples").glob("*/contract.yaml")])
WRONG = sorted((HERE / "wrong").glob("*.yaml"))
VALIDATOR = Draft202012Validator(schema())
# Errors that only the whole document shows, or an amount beside its currency.
ONLY_LINT_SEES = {
    "amendments_approval_unknown",
    "clawback_linear_by_days",
    "depends_on_each_other",
    "depends_on_itself",
    "duration_business_days_without_calendar",
    "duration_too_long",
    "duration_zero",
    "fee_beyond_all_money",
    "fee_percentage_without_value",
    "fee_rate_card_unknown",
    "fee_success_cap_too_fine",
    "fee_success_tier_at_zero",
    "fee_success_tier_without_end",
    "fee_success_tiers_descend",
    "fee_too_fine",
    "fee_too_fine_for_yen",
    "gate_kpi_between_descends",
    "gate_kpi_period_backwards",
    "gate_milestone_unknown",
    "gate_nested_cycle",
    "gate_nested_unknown_milestone",
    "gate_regulator_without_filing",
    "header_calendar_unknown",
    "header_effective_from_far_away",
    "header_effective_from_no_day",
    "header_time_zone_escapes",
    "header_time_zone_unknown",
    "hours_limit_too_fine",
    "milestone_approval_unknown",
    "milestone_id_twice",
    "milestone_unit_code",
    "partial_descends",
    "partial_ends_early",
    "people_period_backwards",
    "policy_amount_too_fine",
    "policy_escalation_to_nobody",
    "policy_called_none",
    "policy_escalates_to_nobody",
    "policy_escalation_too_few_people",
    "policy_everybody_left_before",
    "policy_needs_more_people",
    "policy_quorum_too_high",
    "policy_unknown_role",
    "rate_card_too_fine",
    "repeats_once_waits_for_many",
    "retention_cap_without_value",
    "retention_moment_nested",
    "retention_release_twice",
    "retention_share_missing",
    "retention_shares",
    "retention_step_down_descends",
    "retention_step_down_without_value",
    "sides_unknown_role",
    "signoff_approval_unknown",
}


def wire(path: Path) -> Any:
    return json.loads(contract.to_wire(path.read_text(encoding="utf-8")))


def said(document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def test_it_is_checked_in_as_it_is_generated(golden: Callable[[Path, str], None]) -> None:
    golden(schemas_dir() / "contract.schema.json", schema_text())


def test_the_command_prints_it() -> None:
    result = CliRunner().invoke(app, ["contract", "schema"], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (0, schema_text())


def test_it_is_a_schema() -> None:
    assert Draft202012Validator(Draft202012Validator.META_SCHEMA).is_valid(schema())


def described(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("description"), str):
            yield value["description"]
        for item in value.values():
            yield from described(item)
    elif isinstance(value, list):
        for item in value:
            yield from described(item)


def test_every_text_describes_a_key() -> None:
    assert set(described(schema())) == set(TEXTS.values())


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_good_documents_satisfy_it(path: Path) -> None:
    assert said(wire(path)) == []


@settings(max_examples=50)
@given(good_documents())
def test_whatever_can_be_signed_satisfies_it(document: dict[str, Any]) -> None:
    assert said(document) == []


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_wrong_documents_break_it_unless_only_lint_can_tell(path: Path) -> None:
    parsed = contract.parse(path.read_text(encoding="utf-8"))
    try:
        document = wire(path)
    except contract.NotJsonError:
        assert path.stem.startswith("syntax")
        return
    assert (said(document) == []) == (not parsed.errors or path.stem in ONLY_LINT_SEES)
