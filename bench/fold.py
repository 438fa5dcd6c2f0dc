"""Does one more event cost the same however long an engagement has lived? A small and a large one, in one run.

Each kind of event is folded alone, as a batch of its own, on top of an engagement that already has many of its kind.
The two engagements take turns, so that what else the machine does slows both; the ratio is of their medians.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from time import perf_counter

from milepost.contract import parse
from milepost.core.contract import Contract
from milepost.core.events import (
    ClockTick,
    EngagementEvent,
    Event,
    KpiEvent,
    MilestoneEvent,
    Received,
    RegulatorDecision,
)
from milepost.core.fold import fold
from milepost.core.parts import Staged
from milepost.store.memory import MemoryStore

__all__ = ["KINDS", "Measured", "measure", "table"]

_START = datetime(2026, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_BATCH = 500  # events a transaction while an engagement grows

CONTRACT = """
milepost: 1
engagement: bench
version: 1
customer: {id: acme}
currency: EUR
timezone: Europe/Berlin
effective_from: 2026-01-01
retention: {rate: "10", release: [{when: signoff}]}
milestones:
  - {id: encounter, repeats: per_occurrence, fee: {fixed: "92.50"}, requires: [completed], approval: none}
  - {id: filing, repeats: per_filing, fee: {fixed: "8000.00"}, requires: [{regulator: {by: [FDA]}}], approval: none}
  - {id: uptime, repeats: monthly, fee: {fixed: "9.00"}, requires: [{kpi: {id: up, at_least: "9"}}], approval: none}
  - {id: late, repeats: per_occurrence, fee: {fixed: "1.00"}, requires: [completed, {date: 2098-01-01}], approval: none}
"""


@dataclass(frozen=True)
class Measured:
    """Microseconds of one more event of a kind in a small and in a large engagement."""

    kind: str
    small: float
    large: float

    @property
    def ratio(self) -> float:
        """How much more it costs in the large one."""
        return self.large / self.small


def _at(i: int) -> int:
    return int(_START.timestamp()) * _SECOND + i * _SECOND


def _report(i: int) -> Event:
    return MilestoneEvent(f"m{i}", "bench", "bench", "encounter", "REPORTED", _at(i), occurrence_id=f"v{i}")


def _correction(i: int) -> Event:
    """Of an encounter that was billed before; below the first of the run there is none."""
    return MilestoneEvent(f"c{i}", "bench", "bench", "encounter", "WITHDRAWN", _at(i) + 1, occurrence_id=f"v{i % 10}")


def _decided(i: int) -> Event:
    return RegulatorDecision(f"r{i}", "bench", "bench", f"N-{i}", "FDA", "ACCEPTED", _at(i), confirmation_id=f"C-{i}")


def _value(i: int) -> Event:
    """One month after another would leave the calendar; so a source for each 1,000 of them, in the same months."""
    year, month = divmod(i % 1_000, 12)
    start = date(2026 + year, month + 1, 1)
    end = date(2026 + year + month // 11, (month + 1) % 12 + 1, 1) - timedelta(days=1)
    return KpiEvent(f"k{i}", f"s{i // 1_000}", "bench", "up", "99.5", _at(i), period_start=start, period_end=end)


def _waiting(i: int) -> Event:
    return MilestoneEvent(f"w{i}", "bench", "bench", "late", "REPORTED", _at(i), occurrence_id=f"l{i}")


def _tick(i: int) -> Event:
    return ClockTick(_at(i))


KINDS: dict[str, tuple[Callable[[int], Event], Callable[[int], Event]]] = {
    # name -> (what the engagement has many of, what is measured on top)
    "report and bill an occurrence": (_report, _report),
    "take an occurrence back": (_report, _correction),
    "a regulator's decision on a filing": (_decided, _decided),
    "a month's value": (_value, _value),
    "report what waits for a date": (_waiting, _waiting),
    "a tick when nothing is due": (_waiting, _tick),
}


def _contract() -> Contract:
    parsed = parse(CONTRACT)
    assert parsed.contract is not None, parsed.findings
    return parsed.contract


def _fold(store: MemoryStore, events: list[Event]) -> None:
    staged = Staged(store)
    for event in events:
        fold(staged, Received(event, "bench", None, None, 0))
    store.apply(staged.changes())


def _grown(make: Callable[[int], Event], size: int) -> MemoryStore:
    store = MemoryStore()
    opened = EngagementEvent("e0", "bench", "bench", "OPENED", _at(0), contract=CONTRACT, terms=_contract())
    _fold(store, [opened])
    for first in range(0, size, _BATCH):
        _fold(store, [make(i) for i in range(first, min(first + _BATCH, size))])
    return store


def _once(store: MemoryStore, event: Event) -> float:
    """Microseconds to fold one event in a transaction of its own; what the store does with it is not counted."""
    started = perf_counter()
    staged = Staged(store)
    fold(staged, Received(event, "bench", None, None, 0))
    changes = staged.changes()
    took = (perf_counter() - started) * 1e6
    store.apply(changes)
    return took


def measure(small: int, large: int, rounds: int, kinds: list[str]) -> list[Measured]:
    """One more event of each kind on top of `small` and of `large` of them, `rounds` times in turn."""
    found = []
    for kind in kinds:
        fill, more = KINDS[kind]
        stores = _grown(fill, small), _grown(fill, large)
        times: tuple[list[float], list[float]] = ([], [])
        for i in range(rounds):
            for store, size, took in zip(stores, (small, large), times, strict=True):
                took.append(_once(store, more(size + i)))
        found.append(Measured(kind, median(times[0]), median(times[1])))
    return found


def table(found: list[Measured], small: int, large: int) -> str:
    """The report as text."""
    head = f"{'one more event':38}{f'after {small:,}':>16}{f'after {large:,}':>16}{'ratio':>8}"
    rows = [f"{one.kind:38}{one.small:13.1f} us{one.large:13.1f} us{one.ratio:8.2f}" for one in found]
    return "\n".join([head, *rows])
