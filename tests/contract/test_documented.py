"""docs/CONTRACTS.md is true: its fragments are read without an error, its tables are what `simulate` prints."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from milepost import contract
from milepost.cli import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "CONTRACTS.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(yaml|sh|text)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FRAGMENTS = [text for kind, text in BLOCKS if kind == "yaml"]
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/contract.yaml"))
BASE: dict[str, Any] = {
    "milepost": 1,
    "engagement": "e",
    "version": 1,
    "customer": {"id": "c"},
    "currency": "EUR",
    "timezone": "UTC",
    "effective_from": "2026-01-01",
    "milestones": [{"id": "m", "fee": {"fixed": "1.00"}, "requires": ["completed"], "approval": "none"}],
}


def tables() -> list[tuple[str, str]]:
    """Each table with the command that stands above it."""
    found, command = [], ""
    for kind, text in BLOCKS:
        if kind == "sh":
            command = text.splitlines()[-1]
        elif kind == "text":
            found.append((command, text))
    return found


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda text: " ".join(text.split())[:40])
def test_fragments_are_of_an_example_or_can_be_signed(fragment: str) -> None:
    first, _, rest = fragment.partition("\n")
    if first.startswith("# examples/"):
        assert rest in (ROOT / first.removeprefix("# ")).read_text(encoding="utf-8")
        return
    parts = json.loads(contract.to_wire(fragment))
    assert contract.parse(json.dumps(BASE | parts)).errors == ()


@pytest.mark.parametrize(("command", "table"), tables(), ids=lambda text: text.split("/")[-1][:30])
def test_tables_are_what_the_command_above_prints(command: str, table: str) -> None:
    assert command.startswith(".venv/bin/milepost simulate examples/")
    words = [str(ROOT / word) if word.startswith("examples/") else word for word in command.split()[1:]]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    printed = [line.split() for line in result.stdout.splitlines()]
    assert [line for line in table.splitlines() if line.split() not in printed] == []


def test_every_example_is_on_the_page() -> None:
    shown = {command.split("/")[-2] for command, _ in tables()}
    assert shown == set(EXAMPLES) - {"managed-service"}
    assert len(FRAGMENTS) >= 12
