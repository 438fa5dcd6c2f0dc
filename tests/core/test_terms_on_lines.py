"""What the contract says beside the money arrives on lines and requests; and an engagement is opened once."""

from typing import Any, Literal

from milepost.core.events import (
    ApprovalDecision,
    ClockTick,
    EngagementEvent,
    Event,
    Evidence,
    KpiEvent,
    MilestoneEvent,
    UsageEvent,
)
from milepost.core.facts import Place
from milepost.core.fold import Received, fold
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, Output, RetentionEvent
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from tests.core.scenario import BASE, contract_of, instant

DOCUMENT: dict[str, Any] = {
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


def play(*events: Event, document: dict[str, Any] = DOCUMENT) -> list[Output]:
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


def proof(name: str, letter: str) -> Evidence:
    return Evidence(name, "application/pdf", 1, letter * 64, f"s3://evidence/{name}")


def lines(document: dict[str, Any], *events: Event) -> list[InvoiceLine]:
    return [output for output in play(*events, document=document) if isinstance(output, InvoiceLine)]


def test_a_line_carries_what_was_shown_by_reports_values_and_signers() -> None:
    gated = {
        "id": "M1",
        "fee": {"fixed": "10.00"},
        "requires": ["completed", {"kpi": {"id": "uptime", "at_least": "99"}}],
        "approval": "single",
        "clawback": {"when": {"kpi": {"id": "uptime", "below": "90"}}, "within": "P6M", "share": "50"},
    }
    measured, fallen = proof("measurement", "b"), proof("outage", "d")
    report, signed = proof("report", "a"), proof("sign-off", "c")
    charge, clawed = lines(
        {**DOCUMENT, "milestones": [gated]},
        MilestoneEvent("r", "test", "eng", "M1", "REPORTED", at("2026-02-01"), evidence=(report,)),
        KpiEvent("k1", "test", "eng", "uptime", "99.5", at("2026-02-02"), evidence=(measured,)),
        ApprovalDecision("s", "test", "eng", "M1", "ap", "ana", "APPROVED", at("2026-02-03"), evidence=(signed,)),
        KpiEvent("k2", "test", "eng", "uptime", "80", at("2026-03-01"), evidence=(fallen,)),
    )
    assert charge.evidence == (report, measured, signed)
    assert (clawed.kind, clawed.evidence, clawed.caused_by) == ("CLAWBACK", (fallen,), ("test/k2",))


def test_hours_carry_their_timesheets_once() -> None:
    january, correction = proof("january", "a"), proof("correction", "b")

    def worked(usage: str, quantity: str, revision: int, sheet: Evidence) -> UsageEvent:
        return UsageEvent(
            f"{usage}/{revision}",
            "test",
            "eng",
            usage_id=usage,
            meter="senior",
            started_at=at("2026-01-10"),
            revision=revision,
            quantity=quantity,
            evidence=(sheet,),
        )

    first, second = lines(
        DOCUMENT,
        worked("u1", "1", 1, january),
        worked("u2", "2", 1, january),
        ClockTick(at("2026-02-02")),
        worked("u2", "1", 2, correction),
        ClockTick(at("2026-03-02")),
    )
    assert (first.gross_minor, first.evidence) == (54_000, (january,))
    assert (second.gross_minor, second.evidence) == (-18_000, (correction,))


def test_a_credit_names_the_latest_charge_of_which_something_is_left() -> None:
    stepwise = {
        "id": "M1",
        "fee": {"fixed": "10.00"},
        "partial": "any",
        "requires": ["completed"],
        "approval": "none",
    }

    def reported(day: str, completion: str, kind: Literal["REPORTED", "CORRECTED"] = "REPORTED") -> MilestoneEvent:
        return MilestoneEvent(day, "test", "eng", "M1", kind, at(day), completion=completion)

    raised = lines(
        {**DOCUMENT, "milestones": [stepwise]},
        reported("2026-02-01", "60"),
        reported("2026-02-02", "100"),
        reported("2026-02-03", "80", "CORRECTED"),
        reported("2026-02-04", "60", "CORRECTED"),
        reported("2026-02-05", "50", "CORRECTED"),
        reported("2026-02-06", "0", "CORRECTED"),
    )
    ids = [line.line_id for line in raised]
    assert [line.corrects_line_id for line in raised] == [None, None, ids[1], ids[1], ids[0], ids[0]]


def test_every_kind_of_line_carries_the_references_and_is_billed_when_the_contract_says() -> None:
    document = {**DOCUMENT, "bill_on": "immediately"}
    document["milestones"] = [{**milestone, "bill_on": "next_invoice"} for milestone in DOCUMENT["milestones"][:1]]
    reported = MilestoneEvent("r", "test", "eng", "M1", "REPORTED", at("2026-01-10"))
    corrected = MilestoneEvent("c", "test", "eng", "M1", "WITHDRAWN", at("2026-01-11"))
    again = MilestoneEvent("r2", "test", "eng", "M1", "REPORTED", at("2026-01-12"))
    worked = UsageEvent("u", "test", "eng", usage_id="u", meter="senior", started_at=at("2026-01-13"), quantity="1")
    signed_off = EngagementEvent("s", "test", "eng", "SIGNED_OFF", at("2026-02-03"))
    raised = lines(document, reported, corrected, again, worked, ClockTick(at("2026-02-02")), signed_off)
    assert [line.kind for line in raised] == [
        "MILESTONE", "REVERSAL", "MILESTONE", "TIME_AND_MATERIALS", "RETENTION_RELEASE",
    ]  # fmt: skip
    assert {(line.purchase_order, line.buyer_reference) for line in raised} == {("PO-1", "dept-7")}
    assert [line.bill_on for line in raised] == ["next_invoice"] * 3 + ["immediately"] * 2
    assert {line.attributes["region"] for line in raised} == {"south"}


def test_amounts_are_without_tax() -> None:
    """A category says which tax there is; what it comes to is nobody's business here."""
    (line,) = lines(DOCUMENT, MilestoneEvent("r", "test", "eng", "M1", "REPORTED", at("2026-02-01")))
    assert (line.gross_minor, line.retained_minor + line.payable_minor, line.tax_category) == (1_000, 1_000, "S")
    assert [name for name in InvoiceLine.__struct_fields__ if "tax" in name] == ["tax_category"]


def test_an_audit_entry_says_what_came_of_which_record() -> None:
    reported = MilestoneEvent("r", "test", "eng", "M1", "REPORTED", at("2026-01-10"))
    outputs = play(reported, reported, document=DOCUMENT)
    opened, applied, line, held, refused = [output for output in outputs if isinstance(output, AuditEntry)]
    (raised,) = [output for output in outputs if isinstance(output, InvoiceLine)]
    assert [entry.sequence for entry in (opened, applied, line, held, refused)] == [1, 2, 3, 4, 5]
    assert [(entry.what, entry.reason) for entry in (applied, line, held, refused)] == [
        ("APPLIED", None), ("LINE", "MILESTONE"), ("RETENTION", "HELD"), ("REFUSED", "DUPLICATE"),
    ]  # fmt: skip
    assert (applied.event_id, applied.input_topic, applied.input_partition, applied.input_offset) == (
        "r", "milestone-events", 0, 1,
    )  # fmt: skip
    assert (applied.occurred_at, applied.recorded_at) == (at("2026-01-10"), at("2026-02-01"))
    assert (applied.line_id, line.line_id, held.line_id) == (None, raised.line_id, raised.line_id)
    assert (opened.previous_hash, applied.previous_hash) == ("0" * 64, opened.hash)


def test_requests_and_retention_events_count_what_they_say_again() -> None:
    """`SUBMISSION.STEP.KIND`, counted from 1: what is granted, taken back and granted again is its second time."""

    def decided(day: str, decision: Literal["APPROVED", "WITHDRAWN"]) -> ApprovalDecision:
        return ApprovalDecision(day, "test", "eng", "M2", "ap", "ana", decision, at(day))

    gated = {**DOCUMENT["milestones"][1], "depends_on": ["M1"]}
    outputs = play(
        MilestoneEvent("r", "test", "eng", "M2", "REPORTED", at("2026-02-01")),
        decided("2026-02-02", "APPROVED"),
        decided("2026-02-03", "WITHDRAWN"),
        decided("2026-02-04", "APPROVED"),
        MilestoneEvent("r1", "test", "eng", "M1", "REPORTED", at("2026-02-05")),
        MilestoneEvent("w1", "test", "eng", "M2", "WITHDRAWN", at("2026-02-06")),
        document={**DOCUMENT, "milestones": [DOCUMENT["milestones"][0], gated]},
    )
    place = Place("M2")
    requests = [output for output in outputs if isinstance(output, ApprovalRequest)]
    assert [(request.kind, request.request_id) for request in requests] == [
        (kind, place.identify("request", "eng", f"1.1.{kind}", revision))
        for kind, revision in (("REQUESTED", 1), ("GRANTED", 1), ("REQUESTED", 2), ("GRANTED", 2))
    ]
    kept = [output for output in outputs if isinstance(output, RetentionEvent) and output.milestone_id == "M2"]
    assert [(event.kind, event.retention_event_id) for event in kept] == [
        ("HELD", place.identify("retention", "eng", "fee", 1)),
        ("REDUCED", place.identify("retention", "eng", "fee", 2)),
    ]
