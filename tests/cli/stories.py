"""The example engagements, played once."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from milepost.codec.event_files import read_events
from milepost.contract import parse
from milepost.contract.opening import opened
from milepost.core.outputs import Output
from milepost.join.simulation import simulate

__all__ = ["STORIES", "Story"]

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Story:
    """One folder under examples/."""

    name: str

    @property
    def contract(self) -> Path:
        return EXAMPLES / self.name / "contract.yaml"

    @property
    def events(self) -> Path:
        return EXAMPLES / self.name / "events.jsonl"

    def outputs(self) -> tuple[Output, ...]:
        """What the fold raises, in order."""
        return _outputs(self.contract, self.events)


@lru_cache
def _outputs(contract: Path, events: Path) -> tuple[Output, ...]:
    text = contract.read_text(encoding="utf-8")
    terms = parse(text).contract
    assert terms is not None
    raised = simulate(opened(terms, text, "explain"), read_events(events).lines)
    return tuple(one.output for one in raised)


STORIES = tuple(Story(folder.name) for folder in sorted(EXAMPLES.iterdir()) if folder.is_dir())
