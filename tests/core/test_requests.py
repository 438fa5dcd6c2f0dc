"""What a request says beside its kind: whom it asks, and what they are shown, each by the version in force then."""

from milepost.core.events import ApprovalDecision, ClockTick, EngagementEvent, Event, MilestoneEvent
from milepost.core.fold import Received, fold
from milepost.core.outputs import ApprovalRequest, MilestoneStatus, Output
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from tests.core.scenario import BASE, contract_of, instant

DOCUMENT = {
    **BASE,
    "people": {
        "lead": ["maria"],
        "ap": ["ana", {"id": "deputy", "from": "2026-08-01", "until": "2026-08-31"}],
        "cfo": ["carol"],
    },
    "approvals": {
        "single": {"steps": [{"role": "ap"}]},
        "sequence": {"order": "sequential", "steps": [{"role": "lead"}, {"role": "ap"}]},
    },
    "milestones": [
        {"id": "M1", "fee": {"fixed": "10.00"}, "requires": ["completed"], "approval": "single", "criteria": "Once."},
        {"id": "M2", "fee": {"fixed": "10.00"}, "requires": ["completed"], "approval": "sequence"},
    ],
}
AMENDED = {
    **DOCUMENT,
    "version": 2,
    "amendment": {"mode": "prospective", "from": "2026-09-01"},
    "people": {"lead": ["maria"], "ap": ["zoe"], "cfo": ["carol"]},
    "milestones": [{**DOCUMENT["milestones"][0], "criteria": "Twice."}, DOCUMENT["milestones"][1]],  # type: ignore[index]
}


def play(*events: Event) -> list[Output]:
    staged, raised = Staged(Empty()), list[Output]()
    opened = EngagementEvent("o", "test", "eng", "OPENED", at("2026-01-01"), contract="{}", terms=contract_of(DOCUMENT))
    for place, event in enumerate((opened, *events)):
        raised += fold(staged, Received(event, "milestone-events", 0, place, at("2026-02-01")))
    return raised


def said(outputs: list[Output]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(o.kind, o.step, o.people) for o in outputs if isinstance(o, ApprovalRequest)]


def at(day: str) -> int:
    return instant(day, "Europe/Berlin")


def report(milestone: str, day: str) -> Event:
    return MilestoneEvent(f"r/{milestone}/{day}", "test", "eng", milestone, "REPORTED", at(day), reported_by="sam")


def sign(milestone: str, day: str, person: str, role: str) -> Event:
    name = f"{milestone}/{day}/{person}"
    return ApprovalDecision(name, "test", "eng", milestone, role, person, "APPROVED", at(day))


def amend(day: str) -> Event:
    return EngagementEvent("a", "test", "eng", "AMENDED", at(day), contract="{}", terms=contract_of(AMENDED))


def test_a_request_names_who_holds_the_role_when_it_is_raised() -> None:
    assert said(play(report("M1", "2026-07-01"))) == [("REQUESTED", 1, ("ana",))]
    assert said(play(report("M1", "2026-08-31"))) == [("REQUESTED", 1, ("ana", "deputy"))]
    late = play(ClockTick(at("2026-08-05")), report("M1", "2026-07-01"))
    assert said(late) == [("REQUESTED", 1, ("ana", "deputy"))]


def test_what_was_granted_names_who_held_the_role_when_it_was_signed() -> None:
    outputs = play(report("M1", "2026-07-01"), sign("M1", "2026-08-01", "deputy", "ap"))
    assert said(outputs) == [("REQUESTED", 1, ("ana",)), ("GRANTED", 1, ("ana", "deputy"))]


def test_people_are_those_of_the_version_in_force_then() -> None:
    """Also where another version is signed already."""
    signed = sign("M1", "2026-08-20", "ana", "ap")
    outputs = play(amend("2026-06-01"), report("M1", "2026-08-10"), signed, report("M2", "2026-09-01"))
    assert said(outputs) == [
        ("REQUESTED", 1, ("ana", "deputy")),
        ("GRANTED", 1, ("ana", "deputy")),
        ("REQUESTED", 1, ("maria",)),
    ]


def test_criteria_are_those_that_the_hash_is_of() -> None:
    outputs = play(amend("2026-06-01"), report("M1", "2026-08-10"))
    (request,) = [o for o in outputs if isinstance(o, ApprovalRequest)]
    assert request.criteria == "Once."


def test_a_sequential_step_is_missing_since_it_opened() -> None:
    outputs = play(report("M2", "2026-02-01"), sign("M2", "2026-02-03", "maria", "lead"))
    status = [o for o in outputs if isinstance(o, MilestoneStatus)][-1]
    assert [(missing.gate, missing.since) for missing in status.missing] == [("approval:ap", at("2026-02-03"))]
