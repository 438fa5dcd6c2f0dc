"""Parking: in order, visible, bounded, and each event of its own size."""

from milepost.core import parking
from milepost.core.events import EngagementEvent, MilestoneEvent
from milepost.core.fold import Received, fold
from milepost.core.outputs import AuditEntry, DeadLetter, InvoiceLine, MilestoneStatus, Output
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from tests.core.scenario import BASE, contract_of, instant

ZONE = "Europe/Berlin"


def report(number: int, milestone: str = "M1", note: str = "") -> Received:
    at = instant("2026-02-01", ZONE) + number
    event = MilestoneEvent(
        f"r{number}",
        "test",
        "eng",
        milestone,
        "REPORTED",
        at,
        completion="100",
        attributes={"note": note} if note else {},
    )
    return Received(event, "milestone-events", 0, number, at)


def opened() -> Received:
    milestones = [{"id": "M1", "fee": {"fixed": "10.00"}, "requires": ["completed"], "approval": "none"}]
    terms = contract_of({**BASE, "milestones": milestones})
    return Received(EngagementEvent("o", "test", "eng", "OPENED", 0, terms=terms), "engagements", 0, 0, 0)


def letters(outputs: list[Output]) -> list[DeadLetter]:
    return [output for output in outputs if isinstance(output, DeadLetter)]


def test_the_thousand_and_first_event_is_a_dead_letter_and_the_thousand_bill() -> None:
    staged = Staged(Empty())
    for number in range(parking.PARKED_EVENTS):
        assert letters(fold(staged, report(number))) == []
    (full,) = letters(fold(staged, report(parking.PARKED_EVENTS)))
    assert full.reason == "PARKING_FULL"
    assert "1000 events" in full.message
    assert "NOT_OPEN_YET" in full.message
    outputs = fold(staged, opened())
    assert len([output for output in outputs if isinstance(output, InvoiceLine)]) == 1
    applied = [o for o in outputs if isinstance(o, AuditEntry) and o.input_topic == "milestone-events"]
    assert [entry.event_id for entry in applied if entry.what in ("APPLIED", "REFUSED")] == [
        f"r{number}" for number in range(parking.PARKED_EVENTS)
    ]


def test_a_mebibyte_is_full_and_no_part_of_the_state_is_that_large() -> None:
    staged, note = Staged(Empty()), "x" * 10_000
    found: list[DeadLetter] = []
    number = 0
    while not found:
        found = letters(fold(staged, report(number, note=note)))
        number += 1
    assert found[0].reason == "PARKING_FULL"
    assert 95 < number < 110
    sizes = [len(value or b"") for _, value in staged.changes()]
    assert sum(sizes) > 1_000_000
    assert max(sizes) < 100_000


def test_what_waits_is_shown_up_to_a_limit() -> None:
    staged = Staged(Empty())
    for number in range(parking.SHOWN + 5):
        outputs = fold(staged, report(number))
    (status,) = [output for output in outputs if isinstance(output, MilestoneStatus)]
    assert status.parked[0] == "NOT_OPEN_YET test/r0"
    assert status.parked[-1] == "and 5 more"
    assert len(status.parked) == parking.SHOWN + 1


def test_the_same_event_waits_once() -> None:
    staged = Staged(Empty())
    fold(staged, report(1))
    (entry,) = [output for output in fold(staged, report(1)) if isinstance(output, AuditEntry)]
    assert (entry.what, entry.reason) == ("REFUSED", "DUPLICATE")


def test_a_parked_event_that_turns_out_wrong_is_buried_with_its_own_origin() -> None:
    staged = Staged(Empty())
    odd = report(7)
    odd = odd._replace(event=MilestoneEvent("r7", "test", "eng", "M1", "REPORTED", odd.recorded_at, occurrence_id="x"))
    fold(staged, odd)
    (letter,) = letters(fold(staged, opened()))
    assert letter.reason == "INVALID_VALUE"
    assert letter.origin == odd
