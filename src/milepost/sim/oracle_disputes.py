"""Lines that can be disputed, and what disputes take of them for good (rules 18 and 25)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote
from uuid import NAMESPACE_OID, uuid5

from milepost.core.events import DisputeEvent
from milepost.sim.oracle_facts import Key
from milepost.sim.oracle_hours import Hours

__all__ = ["Disputes", "Line", "Lines", "line_id"]

_NAMESPACE = uuid5(NAMESPACE_OID, "milepost")


def line_id(engagement: str, milestone: str, occurrence: str, effect: str, revision: int) -> str:
    """What a line is called, by what it is."""
    parts = ("line", engagement, milestone, occurrence, effect, str(revision))
    return str(uuid5(_NAMESPACE, "/".join(quote(part, safe="") for part in parts)))


@dataclass
class Line:
    """A line: whose it is, and what of its gross no credit took back."""

    about: Key | Hours
    left: int


class Lines:
    """The lines of an engagement, by what they are called."""

    def __init__(self, engagement: str) -> None:
        self._engagement = engagement
        self._lines: dict[str, Line] = {}
        self._counts: dict[tuple[str, str, str], int] = {}

    def get(self, name: str) -> Line | None:
        """The line that is called so."""
        return self._lines.get(name)

    def add(self, about: Key | Hours, named: tuple[str, str, str], gross: int) -> Line:
        """A line of a milestone, occurrence and effect; a credit takes back the latest charges first."""
        self._counts[named] = self._counts.get(named, 0) + 1
        added = self._lines[line_id(self._engagement, *named, self._counts[named])] = Line(about, max(gross, 0))
        for line in reversed(list(self._lines.values())):
            if gross < 0 and line.about == about and not named[2].startswith("dispute:"):
                own = min(line.left, -gross)
                line.left -= own
                gross += own
        return added


class _Met(NamedTuple):
    """A dispute's event when its line was there, and what was left of that."""

    event: DisputeEvent
    line: Line
    left: int

    @property
    def about(self) -> tuple[str, str]:
        """One dispute may be about several lines; each is judged by itself."""
        return self.event.dispute_id, self.event.line_id


@dataclass
class _State:
    last: int
    open_amount: int | None = None


@dataclass
class Disputes:
    """What is in dispute and what was upheld, as the last event of each dispute leaves it."""

    parked: list[DisputeEvent] = field(default_factory=list)
    met: list[_Met] = field(default_factory=list)

    def meet(self, lines: Lines, opens: int, terminated: int | None) -> bool:
        """Whether one of the events that waited for its line changes what is upheld now."""
        for event in list(self.parked):
            line = lines.get(event.line_id)
            if line is None:
                continue
            self.parked.remove(event)
            if event.occurred_at >= opens:
                before = self.upheld(terminated)
                self.met.append(_Met(event, line, line.left))
                new = self.upheld(terminated)[len(before) :]
                for _, _, amount in new:
                    line.left -= amount
                return True
        return False

    def upheld(self, terminated: int | None) -> list[tuple[str, Line, int]]:
        """Which dispute took how much of which line."""
        return [(met.event.dispute_id, met.line, amount) for met, amount, _ in self._told(terminated) if amount]

    def taken(self, about: Key | Hours, terminated: int | None) -> int:
        """What disputes took of an occurrence, or of a month's hours."""
        return sum(amount for _, line, amount in self.upheld(terminated) if line.about == about)

    def credits(self, about: Key | Hours, terminated: int | None) -> list[tuple[int, int]]:
        """When disputes took how much of an occurrence."""
        told = self._told(terminated)
        return [(met.event.occurred_at, amount) for met, amount, _ in told if amount and met.line.about == about]

    def is_open(self, terminated: int | None) -> bool:
        """Whether anything is in dispute."""
        states: dict[tuple[str, str], _State] = {}
        for met, _, state in self._told(terminated):
            states[met.about] = state
        return any(state.open_amount is not None for state in states.values())

    def _told(self, terminated: int | None) -> Iterator[tuple[_Met, int, _State]]:
        """Every event that counts, what it upholds, and where it leaves its dispute."""
        states: dict[tuple[str, str], _State] = {}
        for met in self.met:
            event = met.event
            if terminated is not None and event.occurred_at > terminated:
                continue
            state = states.get(met.about)
            if state is not None and event.occurred_at < state.last:
                continue
            amount, opened = self._judged(met, state)
            if opened is None and amount is None:
                continue
            states[met.about] = _State(event.occurred_at, opened if event.kind == "OPENED" else None)
            yield met, amount or 0, states[met.about]

    @staticmethod
    def _judged(met: _Met, state: _State | None) -> tuple[int | None, int | None]:
        """What an event upholds and what it leaves in dispute; two times None: it is refused."""
        event, disputed = met.event, None if state is None else state.open_amount
        if event.kind in ("DISMISSED", "WITHDRAWN"):
            return (None, None) if disputed is None else (0, None)
        if event.kind == "OPENED":
            amount = met.left if event.amount_minor is None else event.amount_minor
            too_high = amount > met.left or not met.left
            return (None, None) if too_high else (None, amount)
        if state is not None and disputed is None:
            return None, None
        in_dispute = met.left if disputed is None else disputed
        upheld = in_dispute if event.amount_minor is None else event.amount_minor
        return (None, None) if upheld > met.left or not met.left else (upheld, None)
