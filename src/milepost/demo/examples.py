"""The engagements that come with Milepost: a folder each, with a contract and the events that happened to it."""

from pathlib import Path
from typing import NamedTuple

import milepost
from milepost.codec.event_files import Line, read_events
from milepost.contract import parse
from milepost.contract.opening import opened
from milepost.core.events import EngagementEvent

__all__ = ["Example", "ExamplesError", "alone", "examples_dir", "read_examples"]

SOURCE = "demo"
CONTRACT, EVENTS = "contract.yaml", "events.jsonl"


class ExamplesError(Exception):
    """The examples cannot be read; the message names the file."""


class Example(NamedTuple):
    """One engagement: the event that opens it, and the lines of its file in order."""

    name: str
    opening: EngagementEvent
    lines: list[Line]


def examples_dir() -> Path:
    """`milepost/_examples` of an installed wheel, else `examples/` of the checkout. Raises `ExamplesError`."""
    package = Path(milepost.__file__).parent
    for place in (package / "_examples", package.parent.parent / "examples"):
        if place.is_dir():
            return place
    raise ExamplesError(f"no examples: neither {package / '_examples'} nor examples/ beside src/ is a folder")


def read_examples(folder: Path) -> list[Example]:
    """Every engagement in the folder, by name. Raises `ExamplesError` with the first fault of any file."""
    found = [_read(place.parent) for place in sorted(folder.glob(f"*/{CONTRACT}"))]
    if not found:
        raise ExamplesError(f"no example in {folder}; expected folders with {CONTRACT} and {EVENTS}")
    return found


def alone(example: Example) -> bool:
    """Whether the example's lines depend on when the clock ticks: hours and deadlines are billed and fired by ticks.

    Engagements that are played together see each other's ticks, so that such a one has to be played alone.
    """
    terms = example.opening.terms
    assert terms is not None
    deadlines = [step.within for policy in terms.policies.values() for step in policy.steps]
    return terms.time_and_materials is not None or any(deadlines)


def _read(folder: Path) -> Example:
    path = folder / CONTRACT
    text = path.read_text(encoding="utf-8")
    parsed = parse(text, source=str(path))
    if parsed.contract is None:
        raise ExamplesError(parsed.errors[0].text(str(path)))
    file = read_events(folder / EVENTS)
    if file.faults:
        raise ExamplesError(file.faults[0].text())
    return Example(folder.name, opened(parsed.contract, text, SOURCE), file.lines)
