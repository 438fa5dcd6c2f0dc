"""`milepost explain`: every line and milestone of every example, from files and from the ledger alike."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from milepost.cli import app
from milepost.core.money import format_minor
from milepost.core.outputs import InvoiceLine, MilestoneStatus
from tests.cli.stories import STORIES, Story

EXPLAINED = re.compile(r"= gross (-?[0-9.]+) ")


def explain(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["explain", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_line_is_explained_to_the_cent(story: Story) -> None:
    lines = [output for output in story.outputs() if isinstance(output, InvoiceLine)]
    assert lines
    for line in lines[:6] + lines[-3:]:
        status, out, _ = explain(line.line_id, "--contract", story.contract, "--events", story.events)
        assert status == 0
        assert all(cause in out for cause in line.caused_by)
        assert all(piece.sha256 in out for piece in line.evidence)
        if line.kind != "RETENTION_RELEASE":
            assert EXPLAINED.search(out)[1] == format_minor(line.gross_minor, line.currency_exponent)  # type: ignore[index]
        assert (re.search(r"^  withheld ", out, re.MULTILINE) is not None) == (line.retained_minor > 0)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_open_milestone_says_what_it_misses(story: Story) -> None:
    latest = {(o.milestone_id, o.occurrence_id): o for o in story.outputs() if isinstance(o, MilestoneStatus)}
    for status in latest.values():
        parts = (status.engagement_id, status.milestone_id, status.occurrence_id)
        code, out, _ = explain("/".join(filter(None, parts)), "--contract", story.contract, "--events", story.events)
        assert code == 0
        assert status.state in out
        assert all(missing.detail in out for missing in status.missing)


def test_as_json_it_has_the_same_sections(tmp_path: Path) -> None:
    story = STORIES[0]
    line = next(output for output in story.outputs() if isinstance(output, InvoiceLine))
    given = (line.line_id, "--contract", story.contract, "--events", story.events)
    _, text, _ = explain(*given)
    status, out, _ = explain(*given, "--json")
    assert status == 0
    found = json.loads(out)
    assert list(found)[:3] == ["Line", "Terms", "Because of"]
    assert all(sentence in text for said in found.values() for sentence in said)


def test_what_is_not_there_is_said() -> None:
    story = STORIES[0]
    status, out, err = explain("no-such-line", "--contract", story.contract, "--events", story.events)
    assert (status, out) == (1, "")
    assert "'no-such-line'" in err
    assert "ENGAGEMENT/MILESTONE" in err


def test_events_without_their_contract_are_refused() -> None:
    status, _, err = explain("x", "--events", STORIES[0].events)
    assert status == 2
    assert "--contract" in err
