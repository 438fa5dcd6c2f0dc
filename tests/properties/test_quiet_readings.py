"""A reading that changes nothing is not looked at; that it changed nothing is checked here, against looking at all."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from milepost.core import quiet_readings
from milepost.core.contract import Completed, Contract, Fixed, Gate, KpiGate, Milestone
from milepost.core.events import ApprovalDecision, EngagementEvent, Event, KpiEvent, MilestoneEvent
from milepost.core.rules import kpis
from tests.properties.accounts import played
from tests.properties.strategies import engagement

SECOND, DAY = 1_000_000, 86_400_000_000
encode = msgspec.msgpack.Encoder().encode


def story(seed: int) -> list[Event]:
    """An engagement of one milestone with many readings, some below what its gate asks for, and what else may come."""
    rng = Random(seed)
    made = engagement(seed, amendments=False)
    opened = next(e for e in made.topics["engagements"] if isinstance(e, EngagementEvent) and e.terms is not None)
    assert isinstance(opened.terms, Contract)
    contract = opened.terms
    asked: Gate = KpiGate("temp", at_least="10", sources=rng.choice(((), ("a",))), status=rng.choice(("any", "final")))
    requires = (asked,) if rng.randrange(2) else (Completed(), asked)
    milestone: Milestone = msgspec.structs.replace(
        contract.milestones[0],
        fee=Fixed(100_000),
        requires=requires,
        depends_on=(),
        approval=rng.choice((None, "single", "dual")),
        repeats="none",
        clawback=None,
        partial_any=True,
    )
    terms = msgspec.structs.replace(contract, milestones=(milestone,))
    start, name = opened.occurred_at + 2 * DAY, milestone.id
    events: list[Event] = [msgspec.structs.replace(opened, terms=terms)]
    for number in range(40):
        at = start + number * 3_600 * SECOND + rng.choice((0, 0, 0, -7_200 * SECOND))
        status = rng.choice(("FINAL", "FINAL", "PROVISIONAL"))
        value = rng.choice(("20", "20", "21", "22", "9"))
        events.append(KpiEvent(f"k{number}", rng.choice("aaab"), "eng", "temp", value, at, status=status, revision=1))
        if rng.randrange(6) == 0:
            completion = str(rng.choice((50, 80, 100)))
            events.append(MilestoneEvent(f"m{number}", "s", "eng", name, "REPORTED", at, completion=completion))
        if rng.randrange(5) == 0:
            role, person = rng.choice((("lead", "carol"), ("cfo", "carol"), ("ap", "ana")))
            decision = rng.choice(("APPROVED", "REJECTED"))
            events.append(ApprovalDecision(f"d{number}", "s", "eng", name, role, person, decision, at))
    return events


def outputs(events: list[Event]) -> bytes:
    return encode(played(events)[1])


def differing(monkeypatch: pytest.MonkeyPatch, seeds: range) -> tuple[list[int], int]:
    """The seeds whose outputs are others when every reading is looked at, and how many were not."""
    quiet, asked = quiet_readings.is_quiet, [0]

    def counted(*arguments: Any) -> bool:
        found = quiet(*arguments)
        asked[0] += found
        return found

    differ = []
    for seed in seeds:
        events = story(seed)
        with monkeypatch.context() as patch:
            patch.setattr(quiet_readings, "is_quiet", counted)
            shortened = outputs(events)
            patch.setattr(quiet_readings, "is_quiet", lambda *_: False)
            if outputs(events) != shortened:
                differ.append(seed)
    return differ, asked[0]


def test_what_is_not_looked_at_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    differ, quiet = differing(monkeypatch, range(60))
    assert differ == []
    assert quiet > 100


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        ("_claims_nothing", lambda *_: True),
        ("_stays", lambda *_: True),
        ("_newest", lambda engagement, kpi, value: value),
    ],
)
def test_each_condition_is_needed(what: str, broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet_readings, what, broken)
    assert differing(monkeypatch, range(60))[0]


def test_a_long_series_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand readings few are placed on a time line at all."""
    placed, looked = kpis.placed, [0]

    def counted(*arguments: Any) -> tuple[int, int]:
        looked[0] += 1
        return placed(*arguments)

    monkeypatch.setattr(kpis, "placed", counted)
    opened, *_ = story(1)
    assert isinstance(opened, EngagementEvent)
    assert opened.terms is not None
    milestone = opened.terms.milestones[0]
    start = opened.occurred_at + 2 * DAY
    events: list[Event] = [opened, MilestoneEvent("m", "s", "eng", milestone.id, "REPORTED", start, completion="100")]
    events += [
        KpiEvent(f"k{i}", "a", "eng", "temp", "20", start + i * 900 * SECOND, status="FINAL", revision=1)
        for i in range(1_000)
    ]
    played(events)
    assert looked[0] < 100
