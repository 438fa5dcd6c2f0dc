"""What the contract says beside the money arrives on lines and requests; and an engagement is opened once."""

from milepost.core.events import ClockTick, EngagementEvent, Event, MilestoneEvent, UsageEvent
from milepost.core.fold import Received, fold
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, Output
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from tests.core.scenario import BASE, contract_of, instant

DOCUMENT = {
    **BASE,
    "purchase_order": "PO-1",
    "buyer_reference": "dept-7",
    "metadata": {"region": "south", "cost_centre": "1"},
    "milestones": [
        {
            "id": "M1",
            "fee": {"fixed": "10.00"},
            "requires": ["completed"],
            "approval": "none",
            "metadata": {"cost_centre": "4711"},
            "item": {"id": "CONS-1", "tax_category": "S", "unit_code": "LS"},
            "bill_on": "immediately",
        },
        {
            "id": "M2",
            "name": "Phase 2",
            "criteria": "Accepted in writing.",
            "planned_on": "2026-03-31",
            "fee": {"fixed": "20.00"},
            "requires": ["completed"],
            "approval": "single",
        },
    ],
    "time_and_materials": {"bill": "monthly", "rates": {"senior": {"price": "180.00", "unit": "HUR"}}},
}


def play(*events: Event, document: dict[str, object] = DOCUMENT) -> list[Output]:
    staged, raised = Staged(Empty()), list[Output]()
    opened = EngagementEvent("o", "test", "eng", "OPENED", at("2026-01-01"), contract="{}", terms=contract_of(document))
    for place, event in enumerate((opened, *events)):
        raised += fold(staged, Received(event, "milestone-events", 0, place, at("2026-02-01")))
    return raised


def at(day: str) -> int:
    return instant(day, "Europe/Berlin")


def test_a_line_says_what_the_contract_and_the_milestone_say() -> None:
    outputs = play(MilestoneEvent("r1", "test", "eng", "M1", "REPORTED", at("2026-02-01")))
    (line,) = [output for output in outputs if isinstance(output, InvoiceLine)]
    assert (line.purchase_order, line.buyer_reference) == ("PO-1", "dept-7")
    assert (line.customer_id, line.supplier_id) == ("acme", "northwind")
    assert (line.item, line.tax_category, line.unit_code) == ("CONS-1", "S", "LS")
    assert (line.bill_on, line.quantity, line.unit_price) == ("immediately", "1", "10.00")
    assert line.attributes == {"region": "south", "cost_centre": "4711"}
    assert line.description.startswith("M1")  # a milestone without a name is called by its id


def test_a_signer_reads_the_criteria_and_the_status_says_what_was_planned() -> None:
    outputs = play(MilestoneEvent("r2", "test", "eng", "M2", "REPORTED", at("2026-02-01")))
    (request,) = [output for output in outputs if isinstance(output, ApprovalRequest)]
    assert (request.criteria, request.gross_minor, request.kind) == ("Accepted in writing.", 2_000, "REQUESTED")
    assert sorted(request.people) == ["ana", "anna", "bob"]
    assert request.due_at is None
    statuses = [output for output in outputs if isinstance(output, MilestoneStatus) and output.milestone_id == "M2"]
    assert {str(status.planned_on) for status in statuses} == {"2026-03-31"}


def test_hours_say_their_quantity_unit_and_price() -> None:
    start = at("2026-01-10")
    worked = UsageEvent(
        "u1", "test", "eng", usage_id="u1", meter="senior", started_at=start, ended_at=start + 90 * 60_000_000
    )
    outputs = play(worked, ClockTick(at("2026-02-02")))
    (line,) = [output for output in outputs if isinstance(output, InvoiceLine)]
    assert (line.quantity, line.unit_code, line.unit_price) == ("1.5", "HUR", "180.00")
    assert (line.gross_minor, line.retained_minor, line.bill_on) == (27_000, 0, "next_invoice")


def test_another_contract_does_not_open_what_is_open() -> None:
    other = contract_of({**DOCUMENT, "purchase_order": "PO-2"})
    again = EngagementEvent("o2", "test", "eng", "OPENED", at("2026-01-02"), contract='{"other": 1}', terms=other)
    (entry,) = [output for output in play(again)[-1:] if isinstance(output, AuditEntry)]
    assert (entry.what, entry.reason) == ("REFUSED", "ALREADY_OPEN")
