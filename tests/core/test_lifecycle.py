"""The table of states, and the page that is generated from it."""

from collections.abc import Callable
from pathlib import Path

from milepost.core.lifecycle import STATES, TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "LIFECYCLE.md"


def page() -> str:
    """The states and transitions as a page with a diagram."""
    lines = [
        "# The life of a milestone occurrence",
        "",
        "Generated from `src/milepost/core/lifecycle.py` by `make golden`. A state is derived from facts, so a late",
        "fact can lead back; an event that would take a way which is not in this table becomes a dead letter.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> PENDING",
        *[f"    {before} --> {after}" for before, after in TRANSITIONS],
        "```",
        "",
        "| state | means |",
        "|---|---|",
        *[f"| {state} | {meaning} |" for state, meaning in STATES.items()],
        "",
        "| from | to | because |",
        "|---|---|---|",
        *[f"| {before} | {after} | {why} |" for (before, after), why in TRANSITIONS.items()],
    ]
    return "\n".join(lines) + "\n"


def test_the_page_is_generated(golden: Callable[[Path, str], None]) -> None:
    golden(PAGE, page())


def test_the_table_names_every_state_and_no_other() -> None:
    assert {state for pair in TRANSITIONS for state in pair} == set(STATES)
    assert all(before != after for before, after in TRANSITIONS)
