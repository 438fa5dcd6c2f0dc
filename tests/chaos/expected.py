"""What a workload bills, computed in one process: every engagement's story folded alone, in its own order."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from milepost.core.events import EngagementEvent, Event, Received, dated
from milepost.core.fold import fold
from milepost.core.outputs import InvoiceLine, Output
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from milepost.join.terms import with_terms
from milepost.sim.workload import Arrival, Workload, story, ticks


@dataclass
class Expected:
    """Lines by id as (engagement, gross), and by engagement what is withheld and paid out; all in minor units."""

    lines: dict[str, tuple[str, int]] = field(default_factory=dict)
    retained: dict[str, int] = field(default_factory=dict)
    payable: dict[str, int] = field(default_factory=dict)

    def add(self, line: InvoiceLine) -> None:
        assert line.line_id not in self.lines, f"{line.line_id} raised twice in one process"
        name = line.engagement_id
        self.lines[line.line_id] = (name, line.gross_minor)
        self.retained[name] = self.retained.get(name, 0) + line.retained_minor
        self.payable[name] = self.payable.get(name, 0) + line.payable_minor


def expect(workload: Workload) -> Expected:
    """The right answer, which no order of arrival may change."""
    found = Expected()
    last_tick = ticks(workload)[-1]
    for number in range(workload.engagements):
        for output in outputs_of([*story(workload, number), last_tick]):
            if isinstance(output, InvoiceLine):
                found.add(output)
    assert found.lines, "a workload that bills nothing proves nothing"
    return found


def outputs_of(arrivals: Iterable[Arrival]) -> list[Output]:
    """The outputs of events folded in the order given."""
    staged, outputs = Staged(Empty()), list[Output]()
    for topic, event in arrivals:
        outputs += fold(staged, Received(_read(event), topic, None, None, dated(event)))
    return outputs


def _read(event: Event) -> Event:
    if not isinstance(event, EngagementEvent):
        return event
    read = with_terms(event)
    assert isinstance(read, EngagementEvent), read
    return read
